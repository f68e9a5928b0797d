/* ${title}. Written by nf-policies.
 *
 * Sees, in this order:
${sees}
 * Does:
${does}
 *
 *     policy_memory memory;
 *     policy_init(&memory);                          a new episode
 *     policy_step(&memory, observation, action);     remembers in `memory`
 */
#ifndef POLICY_H
#define POLICY_H

#define POLICY_OBSERVATION ${observation_size}
#define POLICY_ACTION ${action_size}
#define POLICY_VERSION ${version}
#define POLICY_RATE_HZ ${rate} /* control steps per second, 0 where nobody knows */

typedef ${real} policy_real;
typedef ${action} policy_action;

/* What the policy remembers; the caller keeps it. */
typedef struct { ${memory} } policy_memory;

#ifdef __cplusplus
extern "C" {
#endif

/* Begin an episode. */
void policy_init(policy_memory *memory);

/* The action [POLICY_ACTION] for an observation [POLICY_OBSERVATION]. */
void policy_step(policy_memory *memory, const policy_real *observation, policy_action *action);

/* Replay a recorded episode with a reset in its midst. Returns the number of steps that differ: 0 where all is well. */
int policy_check(void);

/* The same with checks, for a robot's loop. Both return one of: */
enum {
    POLICY_OK,
    POLICY_WRONG_VERSION,  /* the program was written for another version of this file */
    POLICY_WRONG_RATE,     /* the loop does not run at POLICY_RATE_HZ */
    POLICY_WRONG_SIZE,     /* an observation has too few or too many entries */
    POLICY_WRONG_ORDER,    /* its entries have other names, or another order */
    POLICY_NOT_FINITE,     /* an entry is NaN or infinite; the memory is as before */
    POLICY_OUT_OF_RANGE    /* an entry is far outside its range: wrong unit or place; the memory is as before */
};

typedef struct {
    policy_memory memory;
    unsigned long period, last; /* microseconds */
    unsigned long missed;       /* deadlines: steps that began half a period late or more */
    char running;
} policy_runner;

/* Begin: `version` is POLICY_VERSION as the program knows it; `names` may be null. */
int policy_open(policy_runner *runner, int version, policy_real rate_hz, int entries, const char *const *names);

/* Begin an episode. */
void policy_reset(policy_runner *runner);

/* The action for an observation at a time on the robot's clock, in microseconds, which may wrap. */
int policy_act(policy_runner *runner, const policy_real *observation, int entries, unsigned long now,
               policy_action *action);

#ifdef __cplusplus
}
#endif
#endif
