/* Steps of an exported policy in a row, for checks and measurements on this machine. */
#include "${name}.h"

void policy_replay(long steps, const policy_real *observations, const char *starts, policy_action *actions) {
    policy_memory memory;
    for (long t = 0; t < steps; t++) {
        if (starts[t]) policy_init(&memory);
        policy_step(&memory, observations + t * POLICY_OBSERVATION, actions + t * POLICY_ACTION);
    }
}
