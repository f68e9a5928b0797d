// A hundred policies from the same starts: those around one policy, or the candidates of a search.

const CROWD = 100;
const STARTS = 4; // episodes per policy, before policies are compared

class Crowd {
  /**
   * @param {number[]} parameters of the policy in the middle
   * @param {number[]} constants of the task
   * @param {number} spread standard deviation around it, in units of each parameter's searched scale
   * @param {number} seed of everything random
   */
  constructor(parameters, constants, spread, seed) {
    const scales = about.policy.parameters.map(({ searched }) => searched);
    this.search = new Search(parameters, scales, spread);
    this.constants = constants;
    this.seed = seed;
    this.rounds = []; // of the search: its best and its median
    this.gather();
  }

  /** The next hundred; the first of them is the middle itself. */
  gather() {
    this.seed += 1;
    const middle = { parameters: this.search.mean, deviations: this.search.mean.map(() => 0) };
    const others = this.search.ask(CROWD - 1, uniform(7919 * this.seed));
    this.members = [middle, ...others].map((drawn) => ({ ...drawn, return: 0, episode: null }));
    this.start = 0;
    this.begin();
  }

  /** All of them begin the same episode. */
  begin() {
    for (const member of this.members) {
      const random = uniform(1000003 * this.seed + this.start);
      member.episode = new Episode(member.parameters, this.constants, random);
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
    for (const member of this.members) member.return += member.episode.return;
    this.start += 1;
    if (this.start < STARTS) this.begin();
    return this.start === STARTS;
  }

  /** What a member has earned so far, per episode. */
  score(member) {
    if (this.start === STARTS) return member.return / STARTS;
    return (member.return + member.episode.return) / (this.start + 1);
  }

  /** The members, the best first; one whose return is no number is the last. */
  ranked() {
    const worth = (member) => (Number.isNaN(this.score(member)) ? -Infinity : this.score(member));
    return [...this.members].sort((a, b) => worth(b) - worth(a));
  }

  /** The next generation of the search. */
  breed() {
    const ranked = this.ranked();
    this.rounds.push({ best: this.score(ranked[0]), median: this.score(ranked[CROWD / 2]) });
    this.search.tell(ranked);
    this.gather();
  }
}
