// Scenes of pendulums, arms, balls and cars; as in scenes_carts.js.

/** One link that turns about the origin; `up` is its angle from upright, clockwise. */
function pendulumScene({ reach, thickness, length, up, sign, gain }) {
  return {
    view: () => ({ width: 3.6 * reach, height: 2.5 * reach, centre: [0, 0] }),
    backdrop(pen, c) {
      pen.arc([0, 0], length(c), 0, 2 * Math.PI, 0.01, 'faint');
      pen.disc([0, length(c)], 0.045 * reach, 'goal');
    },
    body(pen, s, c) {
      const end = tip([0, 0], up(s), length(c));
      pen.line([0, 0], end, thickness, 'link');
      pen.disc(end, thickness * 0.8, 'body');
      pen.disc([0, 0], thickness * 0.5, 'joint');
    },
    grips: (s, c) => [swing(tip([0, 0], up(s), length(c)), up(s), 'omega', sign * gain)],
  };
}

// The angle of Gymnasium's pendulum grows anticlockwise, as that of acrobot's links and the damped pendulum does.
scenes.Pendulum = pendulumScene({
  reach: 1, thickness: 0.13, length: (c) => c.length, up: (s) => -s.theta, sign: -1, gain: 25,
});
scenes.DampedPendulum = pendulumScene({
  reach: 1, thickness: 0.11, length: (c) => c.length, up: (s) => Math.PI - s.theta, sign: -1, gain: 25,
});

scenes.Acrobot = {
  view: () => ({ width: 6.4, height: 4.5, centre: [0, 0] }),
  joints(s, c) {
    const elbow = tip([0, 0], Math.PI - s.theta_1, c.length_1);
    return [elbow, tip(elbow, Math.PI - s.theta_1 - s.theta_2, 1)];
  },
  backdrop(pen, c) {
    pen.line([-3, c.goal_height], [3, c.goal_height], 0.015, 'goal', [5, 6]);
  },
  body(pen, s, c) {
    const [elbow, end] = this.joints(s, c);
    pen.line([0, 0], elbow, 0.17, 'body');
    pen.line(elbow, end, 0.15, 'link');
    pen.disc([0, 0], 0.075, 'joint');
    pen.disc(elbow, 0.075, 'joint');
  },
  grips(s, c) {
    const [elbow, end] = this.joints(s, c);
    const one = Math.PI - s.theta_1;
    return [
      swing(end, one - s.theta_2, 'omega_2', -8),
      swing(elbow, one, 'omega_1', -8),
    ];
  },
};

scenes.Furuta = {
  view: () => ({ width: 0.5, height: 0.36, centre: [0, 0.005] }),
  /** Seen from the front and a little above. */
  seen: (x, y, z) => [y, z - 0.35 * x],
  joints(s, c) {
    const [x, y] = [c.arm_length * Math.cos(s.theta), c.arm_length * Math.sin(s.theta)];
    const side = c.pole_length * Math.sin(s.alpha);
    const end = [x - side * Math.sin(s.theta), y + side * Math.cos(s.theta), -c.pole_length * Math.cos(s.alpha)];
    return [this.seen(x, y, 0), this.seen(...end)];
  },
  backdrop(pen, c) {
    const ring = Array.from({ length: 73 }, (_, i) => {
      const angle = (i / 36) * Math.PI;
      return this.seen(c.arm_length * Math.cos(angle), c.arm_length * Math.sin(angle), 0);
    });
    pen.box([0, -0.1], [0.1, 0.13], 'faint', 0.008);
    pen.line([0, -0.035], [0, 0], 0.026, 'faint');
    pen.path(ring, 'faint', 0.0012);
  },
  body(pen, s, c) {
    const [hinge, end] = this.joints(s, c);
    pen.line(this.seen(0, 0, 0), hinge, 0.012, 'body');
    pen.line(hinge, end, 0.011, 'link');
    pen.disc(hinge, 0.006, 'joint');
  },
  grips(s, c) {
    const [hinge, end] = this.joints(s, c);
    // Upwards (alpha = pi) a pull to the right lowers the angle, hanging it raises it.
    return [
      { at: end, pull: (dx, dy, dt) => ({ alpha_omega: 900 * dt * (dx * Math.cos(s.alpha) + dy * Math.sin(s.alpha)) }) },
      { at: hinge, pull: (dx, dy, dt) => ({ theta_omega: 500 * dt * dx * Math.sign(Math.cos(s.theta)) }) },
    ];
  },
};

scenes.MountainCar = {
  view: () => ({ width: 2.1, height: 1.32, centre: [-0.3, 0.5] }),
  height: (x) => 0.45 * Math.sin(3 * x) + 0.5,
  backdrop(pen, c) {
    const [low, high] = [c.least_position, c.greatest_position];
    const ground = Array.from({ length: 121 }, (_, i) => low + (i / 120) * (high - low)).map((x) => [x, this.height(x)]);
    pen.polygon([...ground, [high, -0.2], [low, -0.2]], 'hill');
    pen.path(ground, 'faint', 0.012);
    const foot = this.height(c.goal_position);
    pen.line([c.goal_position, foot], [c.goal_position, foot + 0.17], 0.008, 'faded');
    pen.polygon([[c.goal_position, foot + 0.17], [c.goal_position + 0.09, foot + 0.14], [c.goal_position, foot + 0.11]], 'goal');
  },
  body(pen, s) {
    const slope = Math.atan(1.35 * Math.cos(3 * s.position));
    const along = [Math.cos(slope), Math.sin(slope)];
    const at = (a, b) => [s.position + a * along[0] - b * along[1], this.height(s.position) + a * along[1] + b * along[0]];
    pen.polygon([at(-0.075, 0.03), at(0.075, 0.03), at(0.06, 0.085), at(-0.06, 0.085)], 'body');
    for (const side of [-0.045, 0.045]) pen.disc(at(side, 0.027), 0.024, 'link');
  },
  grips(s) {
    const at = [s.position, this.height(s.position) + 0.05];
    return [{ at, pull: (dx, dy, dt) => ({ velocity: 0.08 * dt * dx }) }];
  },
};
scenes.MountainCarContinuous = scenes.MountainCar;

scenes.BallOnBeam = {
  view: () => ({ width: 2.6, height: 1.5, centre: [0, -0.05] }),
  backdrop(pen) {
    pen.polygon([[0, 0], [-0.17, -0.6], [0.17, -0.6]], 'faint');
  },
  body(pen, s, c) {
    const [along, up] = [[Math.cos(s.angle), Math.sin(s.angle)], [-Math.sin(s.angle), Math.cos(s.angle)]];
    const half = c.beam_length / 2;
    const lift = c.beam_thickness / 2 + c.ball_radius;
    pen.line([-half * along[0], -half * along[1]], [half * along[0], half * along[1]], 0.08, 'link');
    pen.disc([0, 0], 0.035, 'joint');
    pen.disc([s.x * along[0] + lift * up[0], s.x * along[1] + lift * up[1]], c.ball_radius, 'ball');
  },
  grips: (s, c) => [
    { at: [s.x * Math.cos(s.angle), s.x * Math.sin(s.angle) + c.ball_radius], pull: (dx, dy, dt) => ({ v: 30 * dt * dx }) },
    { at: [c.beam_length / 2, c.beam_length / 2 * Math.sin(s.angle)], pull: (dx, dy, dt) => ({ omega: 30 * dt * dy }) },
  ],
};

scenes.BallBalancer = {
  view: () => ({ width: 0.46, height: 0.33, centre: [0, 0] }),
  backdrop(pen, c) {
    pen.box([0, 0], [c.plate_length, c.plate_length], 'hill', 0.012);
    pen.disc([0, 0], 0.008, 'goal');
  },
  body(pen, s, c) {
    const edge = -c.plate_length / 2 - 0.012;
    pen.line([0, edge], [0.1 * s.servo_x, edge], 0.008, 'link');
    pen.line([edge, 0], [edge, 0.1 * s.servo_y], 0.008, 'link');
    pen.disc([s.x, s.y], c.ball_radius * 0.7, 'ball');
  },
  grips: (s) => [{ at: [s.x, s.y], pull: (dx, dy, dt) => ({ x_v: 30 * dt * dx, y_v: 30 * dt * dy }) }],
};
