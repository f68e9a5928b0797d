// Scenes of the memory tasks, and of tasks that have none: their observations as bars. As in scenes_carts.js.

const CUE_COLOURS = ['ball', 'goal', 'link', 'body'];

/**
 * A card with what is shown now, the question below it, and the answer of the policy at its side.
 * @param {(s: object) => number|null} seen the cue, if one is shown
 * @param {(s: object) => string} question
 * @param {(s: object|null) => number|null} right the right answer before the last step, if it counts
 * @param {string[]} [words] of the answers, where they are no cues
 */
function cardScene(seen, question, right, words) {
  return {
    view: () => ({ width: 5, height: 2.9, centre: [0, 0] }),
    backdrop() {},
    body(pen, s, c, episode) {
      const cue = seen(s);
      pen.box([-0.9, 0.22], [1.7, 1.7], 'hill', 0.16);
      if (cue !== null) pen.disc([-0.9, 0.22], 0.52, CUE_COLOURS[cue]);
      pen.text([-0.9, -1.0], question(s), 0.19);
      const given = episode?.trace ? episode.trace.action[0] : null;
      if (given === null) return;
      const graded = right(episode.before);
      pen.text([1.35, 0.98], 'last answer', 0.15);
      if (words) pen.text([1.35, 0.22], words[given], 0.4, 'ink');
      else pen.disc([1.35, 0.22], 0.36, CUE_COLOURS[given]);
      const isRight = graded === given;
      if (graded !== null) pen.text([1.35, -0.42], isRight ? 'right' : 'wrong', 0.19, isRight ? 'goal' : 'ball');
    },
    grips: () => [],
  };
}

scenes.RepeatFirst = cardScene(
  (s) => (s.t === 0 ? s.cue : null),
  (s) => (s.t >= s.delay ? 'which was it?' : `step ${s.t} of ${s.delay}`),
  (s) => (s && s.t === s.delay ? s.cue : null),
);
scenes.RepeatPrevious = cardScene(
  (s) => s.all[s.at.cues],
  () => 'which was it four steps ago?',
  (s) => (s && s.t >= 4 ? s.all[s.at.cues + 4] : null),
);
scenes.CountParity = cardScene(
  (s) => (s.pulse ? 0 : null),
  () => 'odd or even so far?',
  (s) => (s && s.t >= 1 ? s.parity : null),
  ['even', 'odd'],
);

scenes.TMaze = {
  view: (s) => ({ width: s.length + 4, height: Math.max(6, (s.length + 4) / 2.2), centre: [s.length / 2, 0] }),
  backdrop() {},
  body(pen, s) {
    pen.line([0, 0], [s.length, 0], 1, 'hill');
    pen.line([s.length, -2], [s.length, 2], 1, 'hill');
    const side = s.turn === 0 ? 1 : -1;
    pen.disc([s.length, 2 * side], 0.28, 'goal');
    pen.polygon([[-0.3, 0.75 * side], [0.3, 0.75 * side], [0, 1.25 * side]], s.position === 0 ? 'goal' : 'faint');
    pen.disc([s.position, 0], 0.34, 'ball');
  },
  grips: () => [],
};

/** Bars of the observation's entries, for a task without a scene of its own. */
const plainScene = {
  view: () => ({ width: 4, height: 2.2, centre: [0, 0] }),
  backdrop(pen) {
    pen.line([-1.8, 0], [1.8, 0], 0.01, 'faint');
  },
  body(pen, s, c, episode) {
    const seen = episode ? episode.observation() : [];
    seen.forEach((x, i) => {
      const place = -1.7 + (3.4 * (i + 0.5)) / seen.length;
      const height = x / (1 + Math.abs(x));
      pen.box([place, height / 2], [Math.min(2.6 / seen.length, 0.3), Math.abs(height)], 'link', 0.02);
    });
  },
  grips: () => [],
};
