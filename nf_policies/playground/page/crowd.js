// A hundred policies around one, from the same starts; and an evolution strategy that makes the next hundred of them.

const CROWD = 100;
const PARENTS = 25;
const STARTS = 4; // episodes per policy, before policies are compared

class Crowd {
  /**
   * @param {number[]} parameters of the policy in the middle
   * @param {number[]} constants of the task
   * @param {number} spread standard deviation around it, in units of each parameter's scale
   * @param {number} seed of everything random
   */
  constructor(parameters, constants, spread, seed) {
    this.centre = [...parameters];
    this.constants = constants;
    this.spread = spread;
    this.seed = seed;
    this.rounds = [];
    this.gather();
  }

  /** The next hundred; the first of them is the middle itself. */
  gather() {
    const random = uniform((this.seed += 7919));
    this.members = Array.from({ length: CROWD }, (_, i) => {
      const spread = i ? this.spread * Math.exp(0.3 * normal(random)) : 0;
      const parameters = this.centre.map((x, k) => x + spread * about.policy.parameters[k].scale * normal(random));
      return { parameters, spread: spread || this.spread, return: 0, episode: null };
    });
    this.start = 0;
    this.begin();
  }

  /** All of them begin the same episode. */
  begin() {
    for (const member of this.members) {
      member.episode = new Episode(member.parameters, this.constants, uniform(this.seed + 1000003 * (this.start + 1)));
    }
  }

  /** One step of everyone. Returns whether all have played all their episodes. */
  step() {
    let playing = false;
    for (const { episode } of this.members) {
      episode.step();
      playing ||= !episode.over;
    }
    if (playing) return false;
    for (const member of this.members) member.return += member.episode.return / STARTS;
    this.start += 1;
    if (this.start < STARTS) this.begin();
    return this.start === STARTS;
  }

  /** What a member has earned so far, per episode. */
  score(member) {
    const running = this.start < STARTS ? member.episode.return : 0;
    return (member.return * STARTS + running) / Math.min(this.start + 1, STARTS);
  }

  /** The members, the best first. */
  ranked() {
    return [...this.members].sort((a, b) => this.score(b) - this.score(a));
  }

  /**
   * The best quarter becomes the next middle, and its spread the next spread.
   * Reference: self-adaptation and intermediate recombination, Beyer and Schwefel (2002), Natural Computing 1.
   */
  breed() {
    const parents = this.ranked().slice(0, PARENTS);
    this.rounds.push({ best: parents[0].return, median: this.ranked()[CROWD / 2].return });
    const weights = parents.map((_, rank) => Math.log(PARENTS + 0.5) - Math.log(rank + 1));
    const total = weights.reduce((a, b) => a + b);
    this.centre = this.centre.map((_, k) => parents.reduce((sum, m, i) => sum + (weights[i] / total) * m.parameters[k], 0));
    this.spread = Math.exp(parents.reduce((sum, m) => sum + Math.log(m.spread), 0) / PARENTS);
    this.gather();
  }
}
