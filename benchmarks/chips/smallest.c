/* The smallest program around a policy, to measure flash and data: it reads pins and sets one. */
#include "policy.h"

#define PINS ((volatile policy_real *)0x100)
#define OUT ((volatile policy_action *)0x200)

static policy_memory memory;

int main(void) {
    policy_real observation[POLICY_OBSERVATION];
    policy_action action[POLICY_ACTION];
    policy_init(&memory);
    for (;;) {
        for (int i = 0; i < POLICY_OBSERVATION; i++) observation[i] = PINS[i];
        policy_step(&memory, observation, action);
        for (int i = 0; i < POLICY_ACTION; i++) OUT[i] = action[i];
    }
}
