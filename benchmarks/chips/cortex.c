/* A Cortex-M4 that acts for a host on two pipes, as uno.c does on its serial line; semihosting opens them.
 * In place of cycles it counts instructions, by the clock of qemu -icount. */
#include <stdint.h>

#include "policy.h"

#define SYSTICK ((volatile uint32_t *)0xE000E010)
extern uint32_t stack_top, data_start, data_end, data_in_flash, bss_start, bss_end;
int main(void);

static int semihosting(int call, const void *arguments) {
    register int r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int open_pipe(const char *name, int mode) {
    uintptr_t length = 0;
    while (name[length]) length++;
    uintptr_t arguments[] = {(uintptr_t)name, (uintptr_t)mode, length};
    return semihosting(1, arguments);
}

static void transfer(int call, int pipe, void *bytes, uintptr_t size) {
    while (size) {
        uintptr_t arguments[] = {(uintptr_t)pipe, (uintptr_t)bytes, size};
        uintptr_t left = (uintptr_t)semihosting(call, arguments);
        if (call == 6 && left == size) { /* the host has closed its end */
            uintptr_t exit[] = {0x20026, 0};
            semihosting(0x20, exit);
        }
        bytes = (char *)bytes + (size - left);
        size = left;
    }
}

void reset(void) {
    *(volatile uint32_t *)0xE000ED88 |= 0xF << 20; /* the floating-point unit */
    for (uint32_t *to = &data_start, *from = &data_in_flash; to < &data_end;) *to++ = *from++;
    for (uint32_t *to = &bss_start; to < &bss_end;) *to++ = 0;
    main();
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {&stack_top, (void *)reset};

int main(void) {
    static policy_memory memory;
    static policy_real observation[POLICY_OBSERVATION];
    static policy_action action[POLICY_ACTION];
    int in = open_pipe("to_chip", 1), out = open_pipe("from_chip", 5);
    SYSTICK[1] = 0xFFFFFF;
    SYSTICK[0] = 5;
    policy_init(&memory);
    for (;;) {
        uint8_t start;
        uint32_t took;
        transfer(6, in, &start, sizeof start);
        transfer(6, in, observation, sizeof observation);
        if (start == 2) {
            took = (uint32_t)policy_check();
        } else {
            if (start) policy_init(&memory);
            uint32_t before = SYSTICK[2];
            policy_step(&memory, observation, action);
            took = (before - SYSTICK[2]) & 0xFFFFFF;
        }
        transfer(5, out, action, sizeof action);
        transfer(5, out, &took, sizeof took);
    }
}
