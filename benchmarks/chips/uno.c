/* An Arduino Uno that acts for a host on its serial line: a start byte and an observation in, an action and cycles out.
 * A start byte of 2 asks for the self-test; the number of wrong steps comes back in place of the cycles. */
#include <avr/io.h>
#include <stdint.h>

#include "policy.h"

static void get(void *to, uint8_t size) {
    for (uint8_t *byte = to; size--; byte++) {
        while (!(UCSR0A & (1 << RXC0))) {}
        *byte = UDR0;
    }
}

static void put(const void *from, uint8_t size) {
    for (const uint8_t *byte = from; size--; byte++) {
        while (!(UCSR0A & (1 << UDRE0))) {}
        UDR0 = *byte;
    }
}

int main(void) {
    policy_memory memory;
    policy_real observation[POLICY_OBSERVATION];
    policy_action action[POLICY_ACTION] = {0};
    UBRR0 = 0; /* 2 Mbit/s */
    UCSR0A = 1 << U2X0;
    UCSR0B = 1 << RXEN0 | 1 << TXEN0;
    TCCR1B = 1 << CS11; /* counts every eighth cycle */
    policy_init(&memory);
    for (;;) {
        uint8_t start;
        uint32_t took;
        get(&start, sizeof start);
        get(observation, sizeof observation);
        if (start == 2) {
            took = (uint32_t)policy_check();
        } else {
            if (start) policy_init(&memory);
            uint16_t before = TCNT1;
            policy_step(&memory, observation, action);
            took = 8UL * (uint16_t)(TCNT1 - before);
        }
        put(action, sizeof action);
        put(&took, sizeof took);
    }
}
