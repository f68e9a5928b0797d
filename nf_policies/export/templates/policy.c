/* ${title}. Written by nf-policies; see ${name}.h.
 * card: ${card}
 */
#include "${name}.h"

#include <math.h>

#ifdef __AVR__ /* tables stay in flash */
#include <avr/pgmspace.h>
#define TABLE PROGMEM
#define AT(table, i) pgm_read_float(&(table)[i])
#define READ_INT(table, i) ((int)pgm_read_word(&(table)[i]))
#define READ_CHAR(table, i) ((char)pgm_read_byte(&(table)[i]))
#else
#define TABLE
#define AT(table, i) (table)[i]
#define READ_INT(table, i) (table)[i]
#define READ_CHAR(table, i) (table)[i]
#endif

${helpers}
${tables}
void policy_init(policy_memory *memory) {
${start}
}

void policy_step(policy_memory *memory, const policy_real *observation, policy_action *action) {
${step}
}

${recorded_observations}
${recorded_actions}
${recorded_starts}

int policy_check(void) {
    policy_memory memory;
    policy_real observation[${observation_size}];
    policy_action action[${action_size}];
    int wrong = 0;
    for (int t = 0; t < ${steps}; t++) {
        if (READ_CHAR(recorded_starts, t)) policy_init(&memory);
        for (int i = 0; i < ${observation_size}; i++) {
            observation[i] = AT(recorded_observations, t * ${observation_size} + i);
        }
        policy_step(&memory, observation, action);
        int differs = 0;
        for (int i = 0; i < ${action_size}; i++) {
            policy_real difference = (policy_real)(action[i] - ${at_action}(recorded_actions, t * ${action_size} + i));
            if (!(${fabs}(difference) <= ${tolerance})) differs = 1;
        }
        wrong += differs;
    }
    return wrong;
}

${low}
${high}

int policy_open(policy_runner *runner, int version, policy_real rate_hz, int entries, const char *const *names) {
    if (version != POLICY_VERSION) return POLICY_WRONG_VERSION;
    if (!(rate_hz > 0)) return POLICY_WRONG_RATE;
    if (POLICY_RATE_HZ > 0 && !(${fabs}(rate_hz / POLICY_RATE_HZ - 1) < (policy_real)0.01)) return POLICY_WRONG_RATE;
    if (entries != POLICY_OBSERVATION) return POLICY_WRONG_SIZE;
    if (names) {
        unsigned long hash = 2166136261UL; /* FNV-1a of the names, each followed by a line feed */
        for (int i = 0; i < entries; i++) {
            for (const char *c = names[i];; c++) {
                hash = ((hash ^ (*c ? (unsigned char)*c : '\n')) * 16777619UL) & 0xffffffffUL;
                if (!*c) break;
            }
        }
        if (hash != ${names_hash}) return POLICY_WRONG_ORDER;
    }
    runner->period = (unsigned long)(1000000 / rate_hz);
    runner->missed = 0;
    policy_reset(runner);
    return POLICY_OK;
}

void policy_reset(policy_runner *runner) {
    policy_init(&runner->memory);
    runner->running = 0;
}

int policy_act(policy_runner *runner, const policy_real *observation, int entries, unsigned long now,
               policy_action *action) {
    if (entries != POLICY_OBSERVATION) return POLICY_WRONG_SIZE;
    for (int i = 0; i < entries; i++) {
        if (!(${fabs}(observation[i]) <= (policy_real)3.4e38)) return POLICY_NOT_FINITE;
        if (observation[i] < AT(lowest_seen, i) || observation[i] > AT(highest_seen, i)) return POLICY_OUT_OF_RANGE;
    }
    if (runner->running && now - runner->last >= runner->period + runner->period / 2) runner->missed++;
    runner->running = 1;
    runner->last = now;
    policy_step(&runner->memory, observation, action);
    return POLICY_OK;
}
