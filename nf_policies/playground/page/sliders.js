// Sliders for numbers: the constants of the task and the parameters of the policy.

/** A number in few digits. */
function short(x) {
  const size = Math.abs(x);
  let digits = `${Number(x.toPrecision(3))}`;
  if (size >= 1e6 || (size < 1e-3 && size > 0)) digits = x.toExponential(1);
  else if (size >= 1000) digits = Math.round(x).toLocaleString('en');
  return digits.replaceAll('-', '−');
}

/**
 * A row with a label, a slider and its value; a double click on the label brings the first value back.
 * @param {{name: string, first: number, low: number, high: number, step: number|'any', text: Function}} of
 * @param {(value: number) => void} changed
 * @returns {{row: HTMLElement, show: (value: number) => void}}
 */
function slider(of, changed) {
  const row = document.createElement('label');
  const [name, input, output] = ['span', 'input', 'output'].map((tag) => document.createElement(tag));
  name.textContent = of.name;
  name.title = 'double click: back to the first value';
  Object.assign(input, { type: 'range', min: of.low, max: of.high, step: of.step });
  row.append(name, input, output);
  const show = (value) => {
    const beyond = of.first + 1.25 * (value - of.first); // a search may lead out of the range
    if (value < Number(input.min)) input.min = beyond;
    if (value > Number(input.max)) input.max = beyond;
    input.value = value;
    output.textContent = of.text(value);
    row.classList.toggle('changed', Math.abs(value - of.first) > 1e-9 * (1 + Math.abs(of.first)));
  };
  const set = (value) => {
    show(value);
    changed(value);
  };
  input.addEventListener('input', () => set(Number(input.value)));
  row.addEventListener('dblclick', () => set(of.first));
  show(of.first);
  return { row, show };
}

/** Sliders of positive constants move in equal ratios, so that halving and doubling are as far away. */
function constantSlider({ name, value, least, whole }, changed) {
  const label = name.replaceAll('_', ' ');
  if (whole) {
    const of = { name: label, first: value, low: least ?? 0, high: Math.max(4 * value, 8), step: 1, text: String };
    return slider(of, changed);
  }
  if (least > 0) {
    const of = { name: label, first: Math.log(value), low: Math.log(value / 5), high: Math.log(value * 5), step: 'any' };
    const { row, show } = slider({ ...of, text: (x) => short(Math.exp(x)) }, (x) => changed(Math.exp(x)));
    return { row, show: (x) => show(Math.log(x)) };
  }
  const wide = Math.abs(value) || 1;
  const of = { name: label, first: value, low: least === 0 ? 0 : value - 2 * wide, high: value + 2 * wide, step: 'any' };
  return slider({ ...of, text: short }, changed);
}

/** A parameter moves within four of its scales or twice its size. Weights are named "to ← from". */
function parameterSlider({ name, value, scale }, changed) {
  const reach = Math.max(4 * scale, 2 * Math.abs(value));
  const index = name.includes('[') ? name.slice(name.indexOf('[') + 1, -1).replace(',', ' ← ') : 'all';
  const of = { name: index, first: value, low: value - reach, high: value + reach, step: 'any', text: short };
  return slider(of, changed);
}

/** The sliders of constants, in the element; they write into `values`. */
function constantSliders(element, values) {
  const rows = about.task.constants.map((constant, i) =>
    constantSlider(constant, (value) => {
      values[i] = value;
      keepOrder(i);
    }),
  );
  element.append(...rows.map(({ row }) => row));
  /** A least_… or …_low never passes its greatest_… or …_high: the other one goes along. */
  function keepOrder(i) {
    const { name } = about.task.constants[i];
    const pairs = [['least_', 'greatest_'], ['_low', '_high']];
    for (const [low, high] of [...pairs, ...pairs.map(([a, b]) => [b, a])]) {
      const other = about.task.constants.findIndex((constant) => constant.name === name.replace(low, high));
      const isLow = low === 'least_' || low === '_low';
      if (!name.includes(low) || other < 0 || (isLow ? values[i] <= values[other] : values[i] >= values[other])) continue;
      values[other] = values[i];
      rows[other].show(values[i]);
    }
  }
  return (i, value) => rows[i].show(value);
}

/** Groups of sliders of parameters, those of many parameters closed; they write into `values`. */
function parameterSliders(element, values, changed) {
  const shows = [];
  const groups = grouped(about.policy.parameters.map(({ name }) => name.split('[')[0]));
  for (const [name, indices] of groups) {
    const group = document.createElement('details');
    const title = document.createElement('summary');
    title.textContent = name.replace('.weight', '').replaceAll('_', ' ');
    title.dataset.count = indices.length;
    group.append(title);
    const fill = () => {
      if (group.children.length > 1) return;
      for (const i of indices) {
        const { row, show } = parameterSlider(about.policy.parameters[i], (value) => {
          values[i] = value;
          changed();
        });
        shows[i] = show;
        show(values[i]);
        group.append(row);
      }
    };
    group.addEventListener('toggle', fill); // a thousand sliders are made only when someone looks at them
    group.open = about.policy.parameters.length <= 40;
    if (group.open) fill();
    element.append(group);
  }
  return (i, value) => shows[i]?.(value);
}

/** The indices of equal keys. */
function grouped(keys) {
  const groups = new Map();
  keys.forEach((key, i) => groups.set(key, [...(groups.get(key) ?? []), i]));
  return groups;
}
