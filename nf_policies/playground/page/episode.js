// One policy that plays one task. `about` says what they are, `task` and `policy` compute.

class Episode {
  /**
   * Begins at once.
   * @param {number[]} parameters of the policy; may change on the way
   * @param {number[]} constants of the task; may change on the way
   * @param {() => number} random uniform numbers in [0, 1)
   */
  constructor(parameters, constants, random) {
    this.parameters = parameters;
    this.constants = constants;
    this.random = random;
    this.state = task.initial(this.draw(about.task.draws.initial), constants);
    this.memory = policy.start(parameters);
    this.steps = 0;
    this.return = 0;
    this.over = false;
    this.last = null; // the state before the last step
    this.trace = null; // of the last step: action, potentials, activations, outputs and stimuli
  }

  draw(n) {
    return Array.from({ length: n }, this.random);
  }

  /** The observation, as the task's environment rounds it. */
  observation() {
    return task.features(this.state, this.constants).map(Math.fround);
  }

  /** One step of policy and task; none after the end. */
  step() {
    if (this.over) return;
    this.trace = policy.step(this.parameters, this.memory, this.observation());
    this.memory = this.trace.potentials;
    const { action } = this.trace;
    const numbers = this.draw(about.task.draws.transition);
    const next = task.transition(this.state, action, numbers, this.constants);
    this.return += task.reward(this.state, action, next, numbers, this.constants)[0];
    this.last = this.state;
    this.state = next;
    this.steps += 1;
    this.over = task.terminal(next, this.constants)[0] || this.steps >= about.task.limit;
  }

  /** The entries of the physics by name. */
  get physics() {
    return physics(this.state);
  }

  /** The entries of the physics before the last step; null at the start. */
  get before() {
    return this.last && physics(this.last);
  }

  /** Add to entries of the physics by name, as the hand does. */
  push(changes) {
    for (const [name, change] of Object.entries(changes)) this.state[about.task.state[name]] += change;
  }
}

/** A state's entries of the physics by name; `at` has their places, for those of several numbers. */
function physics(state) {
  const entries = { at: about.task.state, all: state };
  for (const [name, place] of Object.entries(about.task.state)) entries[name] = state[place];
  return entries;
}

/** The task's constants by name. */
function named(constants) {
  return Object.fromEntries(about.task.constants.map(({ name }, i) => [name, constants[i]]));
}
