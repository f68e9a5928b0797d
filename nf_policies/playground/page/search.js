// An evolution strategy with a step size of its own for every parameter.

/**
 * Separable CMA-ES: Ros and Hansen (2008), A simple modification in CMA-ES achieving linear time and space complexity,
 * PPSN X; constants as in Hansen (2016), The CMA evolution strategy: a tutorial, arXiv:1604.00772.
 */
class Search {
  /**
   * @param {number[]} start
   * @param {number[]} scales natural steps of the entries
   * @param {number} sigma first standard deviation, in units of the scales
   */
  constructor(start, scales, sigma) {
    const n = start.length;
    Object.assign(this, { n, mean: [...start], scales, sigma });
    this.greatest = 20 * sigma; // where only the signs of outputs count, weights would grow for ever
    this.variances = new Array(n).fill(1);
    this.path = new Array(n).fill(0); // of the mean, for the variances
    this.pathOfSigma = new Array(n).fill(0);
  }

  /** Candidates; each is drawn from the mean by `deviations`, which `tell` needs again. */
  ask(count, random) {
    return Array.from({ length: count }, () => {
      const deviations = this.variances.map((variance) => Math.sqrt(variance) * normal(random));
      return { deviations, parameters: this.mean.map((x, k) => x + this.sigma * this.scales[k] * deviations[k]) };
    });
  }

  /** Move to candidates, the best first. */
  tell(ranked) {
    const { n } = this;
    const mu = Math.floor(ranked.length / 2);
    const raw = Array.from({ length: mu }, (_, rank) => Math.log(mu + 0.5) - Math.log(rank + 1));
    const total = raw.reduce((a, b) => a + b);
    const weights = raw.map((w) => w / total);
    const effective = 1 / weights.reduce((sum, w) => sum + w * w, 0);

    const forgetSigma = (effective + 2) / (n + effective + 5);
    const damping = 1 + forgetSigma + 2 * Math.max(0, Math.sqrt((effective - 1) / (n + 1)) - 1);
    const forget = (4 + effective / n) / (n + 4 + (2 * effective) / n);
    const faster = (n + 2) / 3; // than with a whole matrix to learn
    const one = Math.min(1, (faster * 2) / ((n + 1.3) ** 2 + effective));
    const many = Math.min(1 - one, (faster * 2 * (effective - 2 + 1 / effective)) / ((n + 2) ** 2 + effective));
    const expected = Math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));

    const shift = this.mean.map((_, k) => weights.reduce((sum, w, i) => sum + w * ranked[i].deviations[k], 0));
    this.mean = this.mean.map((x, k) => x + this.sigma * this.scales[k] * shift[k]);
    const grow = Math.sqrt(forgetSigma * (2 - forgetSigma) * effective);
    this.pathOfSigma = this.pathOfSigma.map(
      (p, k) => (1 - forgetSigma) * p + (grow * shift[k]) / Math.sqrt(this.variances[k]),
    );
    const length = Math.hypot(...this.pathOfSigma);
    const move = Math.sqrt(forget * (2 - forget) * effective);
    this.path = this.path.map((p, k) => (1 - forget) * p + move * shift[k]);
    this.variances = this.variances.map((variance, k) => {
      const spread = weights.reduce((sum, w, i) => sum + w * ranked[i].deviations[k] ** 2, 0);
      return (1 - one - many) * variance + one * this.path[k] ** 2 + many * spread;
    });
    const factor = Math.exp(Math.min((forgetSigma / damping) * (length / expected - 1), 1));
    this.sigma = Math.min(this.sigma * factor, this.greatest);
  }
}
