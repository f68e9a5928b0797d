/* Runs the program of an Arduino Uno in simavr, with its serial line on stdin and stdout.
 *
 *     uno_host FIRMWARE.elf BYTES_IN BYTES_OUT
 */
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int expected, answered, may_send = 1;

static void on_byte(struct avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq, (void)param;
    putchar((int)value);
    answered++;
}

static void on_full(struct avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq, (void)value, (void)param;
    may_send = 0;
}

static void on_free(struct avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq, (void)value, (void)param;
    may_send = 1;
}

static void on_message(avr_t *avr, const int level, const char *format, va_list arguments) {
    (void)avr, (void)level, (void)format, (void)arguments; /* stdout is the serial line */
}

int main(int argc, char **argv) {
    static elf_firmware_t firmware;
    avr_global_logger_set(on_message);
    if (argc < 4 || elf_read_firmware(argv[1], &firmware)) return 2;
    avr_t *avr = avr_make_mcu_by_name("atmega328p");
    avr_init(avr);
    avr->frequency = 16000000;
    avr_load_firmware(avr, &firmware);
    uint32_t flags = 0;
    avr_ioctl(avr, AVR_IOCTL_UART_GET_FLAGS('0'), &flags);
    flags &= (uint32_t)~(AVR_UART_FLAG_STDIO | AVR_UART_FLAG_POLL_SLEEP);
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_byte, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XOFF), on_full, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XON), on_free, NULL);
    avr_irq_t *line = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    int size = atoi(argv[2]);
    expected = atoi(argv[3]);
    for (int i = 0; i < 20000; i++) avr_run(avr); /* until it listens */
    for (;;) {
        answered = 0;
        for (int i = 0; i < size; i++) {
            int byte = getchar();
            if (byte == EOF) return 0;
            while (!may_send) avr_run(avr);
            avr_raise_irq(line, (uint32_t)byte);
        }
        while (answered < expected) {
            int state = avr_run(avr);
            if (state == cpu_Done || state == cpu_Crashed) return 1;
        }
        fflush(stdout);
    }
}
