// The page: what is played, how fast, and what the controls do.

const scene = scenes[about.task.kind] ?? plainScene;
const element = (id) => document.getElementById(id);
const first = {
  parameters: about.policy.parameters.map(({ value }) => value),
  constants: about.task.constants.map(({ value }) => value),
};
const parameters = [...first.parameters];
const constants = [...first.constants];
const record = new Record();
const play = { running: true, speed: 1, seed: 1, owed: 0, returns: [], crowd: null, evolving: false };
const dark = matchMedia('(prefers-color-scheme: dark)');
document.documentElement.dataset.theme = dark.matches ? 'dark' : 'light';
let colours = palette();
let episode = begin();
let restAt = 0; // when the next episode begins, after one that has ended

function begin() {
  return new Episode(parameters, constants, uniform(play.seed));
}

function restart() {
  play.seed += 1;
  episode = begin();
  restAt = 0;
}

// Sliders

const showConstant = constantSliders(element('constants'), constants);
const showParameter = parameterSliders(element('parameters'), parameters, () => {
  if (play.crowd && !play.evolving) gather();
});

function setAll(values, to, show) {
  to.forEach((value, i) => {
    values[i] = value;
    show(i, value);
  });
}

element('reset-constants').addEventListener('click', () => setAll(constants, first.constants, showConstant));
element('reset-parameters').addEventListener('click', () => setAll(parameters, first.parameters, showParameter));
element('constants-say').textContent = about.task.constantsSay;

// One step

const hand = new Hand(element('scene'), () => ({ pen: pen(), grips: play.crowd && !play.evolving ? [] : grips() }));
const neuron = neuronHand(element('neurons'), Math.max(episode.memory.length, 1));

function pen() {
  const { clientWidth, clientHeight } = element('scene');
  return new Pen(null, scene.view(episode.physics, named(constants)), [clientWidth, clientHeight], colours);
}

function grips() {
  return scene.grips(episode.physics, named(constants));
}

/** At the speed of the task, also where its dt has been changed. */
function stepsPerSecond() {
  const dt = about.task.constants.findIndex(({ name }) => name === 'dt');
  return about.task.stepsPerSecond * (dt < 0 ? 1 : first.constants[dt] / constants[dt]);
}

function stepOne(now) {
  if (episode.over) {
    restAt ||= now + 700;
    if (now > restAt) restart();
    return;
  }
  const pull = hand.pull(1 / stepsPerSecond());
  if (pull) episode.push(pull);
  if (neuron.held) episode.memory = episode.memory.with(neuron.held[0], neuron.held[1] * record.scale);
  episode.step();
  record.add(episode.trace, episode.steps === 1);
  if (episode.over) play.returns.push(episode.return);
}

// The hundred

function gather() {
  play.crowd = new Crowd(parameters, constants, Number(element('spread').value), play.seed);
}

function stepCrowd() {
  if (!play.crowd.step()) return;
  if (play.evolving) {
    play.crowd.breed();
    adopt(play.crowd.search.mean);
  } else {
    play.crowd.gather();
  }
}

function adopt(values) {
  setAll(parameters, values, showParameter);
}

/** Steps of the hundred for a share of a frame. */
function evolve() {
  const end = performance.now() + 20;
  while (performance.now() < end && play.evolving) stepCrowd();
}

function chooseMode(many) {
  document.body.classList.toggle('many', many);
  element('one').setAttribute('aria-pressed', !many);
  element('many').setAttribute('aria-pressed', many);
  setEvolving(false);
  play.crowd = null;
  if (many) gather();
}

function setEvolving(on) {
  play.evolving = on;
  element('evolve').textContent = on ? 'Stop' : 'Evolve';
  if (on) gather();
}

element('one').addEventListener('click', () => chooseMode(false));
element('many').addEventListener('click', () => chooseMode(true));
element('spread').addEventListener('input', () => gather());
element('keep').addEventListener('click', () => {
  adopt(play.crowd.ranked()[0].parameters);
  gather();
});
element('evolve').addEventListener('click', () => setEvolving(!play.evolving));

// Controls

function setRunning(on) {
  play.running = on;
  element('play').textContent = on ? 'Pause' : 'Play';
}

element('play').addEventListener('click', () => setRunning(!play.running));
element('restart').addEventListener('click', () => (play.crowd ? gather() : restart()));
for (const button of document.querySelectorAll('[data-speed]')) {
  button.addEventListener('click', () => {
    play.speed = Number(button.dataset.speed);
    for (const other of document.querySelectorAll('[data-speed]')) other.setAttribute('aria-pressed', other === button);
  });
}
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  colours = palette();
}

element('theme').addEventListener('click', () => {
  setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark');
});
dark.addEventListener('change', () => setTheme(dark.matches ? 'dark' : 'light'));
document.addEventListener('keydown', (event) => {
  if (event.target.closest('input, button, summary')) return;
  if (event.key === ' ') setRunning(!play.running);
  else if (event.key === 'r') restart();
  else return;
  event.preventDefault();
});

// Drawing

function draw() {
  const { context, size } = cleared(element('scene'));
  const c = named(constants);
  const crowd = play.evolving ? null : play.crowd;
  const shown = crowd ? crowd.members[0].episode : episode;
  const drawn = new Pen(context, scene.view(shown.physics, c), size, colours);
  scene.backdrop(drawn, c);
  if (crowd) {
    context.globalAlpha = 0.13;
    const ghost = new Pen(context, drawn.view, size, new Proxy(colours, { get: () => colours.ghost }));
    for (const { episode: other } of crowd.members) if (!other.over) scene.body(ghost, other.physics, c, other);
    context.globalAlpha = 1;
  }
  context.globalAlpha = shown.over && crowd ? 0.25 : 1;
  scene.body(drawn, shown.physics, c, shown);
  context.globalAlpha = 1;
  if (!crowd) hand.draw(drawn, grips());
}

function drawCharts() {
  if (play.crowd) drawCrowd(element('ranks'), play.crowd, colours);
  else {
    drawPotentials(element('potentials'), record, colours);
    drawActions(element('actions'), record, colours);
    if (episode.memory.length) drawNeurons(element('neurons'), episode.memory, record.scale, colours);
  }
}

function say() {
  if (!play.crowd) {
    const last = play.returns.slice(-3).map(short).join(', ');
    const end = episode.over ? (episode.steps < about.task.limit ? ' · over' : ' · time is up') : '';
    element('status').textContent = `step ${episode.steps} of ${about.task.limit}${end}`;
    element('earned').textContent = `return ${short(episode.return)}${last ? ` · before: ${last}` : ''}`;
    return;
  }
  const playing = play.crowd.members.filter((member) => !member.episode.over).length;
  const scores = play.crowd.ranked().map((member) => play.crowd.score(member));
  const round = play.crowd.rounds.length;
  element('status').textContent = play.evolving ? `generation ${round + 1}` : `${playing} of ${CROWD} still play`;
  element('earned').textContent = `best ${short(scores[0])} · median ${short(scores[CROWD / 2])}`;
}

let before = performance.now();
let frames = 0;

function frame(now) {
  const elapsed = Math.min((now - before) / 1000, 0.1);
  before = now;
  if (play.running) {
    if (play.evolving) evolve();
    const crowded = play.crowd && !play.evolving; // while they evolve, the one in the middle shows what it can
    play.owed += elapsed * play.speed * stepsPerSecond();
    for (; play.owed >= 1; play.owed -= 1) crowded ? stepCrowd() : stepOne(now);
  }
  draw();
  frames += 1;
  if (frames % 3 === 1) drawCharts(); // a slow machine should spend its time on what moves
  if (frames % 6 === 0) say();
  requestAnimationFrame(frame);
}

document.body.classList.toggle('plain-scene', !grips().length);
document.body.classList.toggle('memoryless', !episode.memory.length);
requestAnimationFrame(frame);

// For the browser's console, and for tests.
globalThis.playground = {
  about,
  parameters,
  constants,
  play,
  record,
  neuron,
  Episode,
  get episode() {
    return episode;
  },
};
