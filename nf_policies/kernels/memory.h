// The memory of a call: the user's tensors, and a candidate's parameters, sums and tiles in our own layout.

#pragma once

#include "vectors.h"

// Strides count numbers, not bytes. What is optional is null.
struct Call {
    int64_t time, batch, population, threads;
    int64_t inputs_time, inputs_batch, starts_time, starts_batch, potentials_batch;
    double c0;
    const REAL *inputs;       // (time, population * batch, INPUTS or HIDDEN)
    const REAL *potentials;   // before the first step (population * batch, HIDDEN)
    const uint8_t *starts;    // optional (time, population * batch)
    const REAL *lateral;      // (population, HIDDEN, HIDDEN)
    const REAL *neurons;      // (population, NEURON_ROWS, HIDDEN)
    const REAL *weights_in;   // (population, HIDDEN, INPUTS)
    const REAL *bias_in;      // optional (population, HIDDEN)
    const REAL *weights_out;  // (population, OUTPUTS, HIDDEN)
    const REAL *bias_out;     // optional (population, OUTPUTS)
    REAL *packed;             // work memory: packed_size() per candidate, aligned to 64 bytes
    REAL *trajectory;         // (time, population * batch, HIDDEN)
    REAL *outputs;            // (time, population * batch, OUTPUTS)
    // Backward only, with a population of one.
    const REAL *d_trajectory;  // optional
    const REAL *d_outputs;     // optional
    REAL *d_stimuli;           // optional (time, batch, HIDDEN)
    REAL *d_potentials, *d_lateral, *d_neurons, *d_weights_in, *d_bias_in, *d_weights_out, *d_bias_out;
};

namespace {

// One candidate's parameters, laid out for vectors: padded with zeros, transposed where a product needs it.
struct Packed {
    ALIGNED REAL resting[H], rate[H], scale[H], bias[H], initial[H], c1[H], c2[H], initial_activations[H], bias_in[H];
    ALIGNED REAL lateral_transposed[HIDDEN * H];              // [source][target]
    ALIGNED REAL lateral_rate[HIDDEN * H];                    // [target][source], times the target's rate
    ALIGNED REAL weights_in[some(I * H)];                     // [input][neuron]
    ALIGNED REAL weights_out_transposed[some(HIDDEN * O)];    // [neuron][output]
    ALIGNED REAL weights_out[some(OUTPUTS * H)];              // [output][neuron]
    ALIGNED REAL bias_out[some(O)];
};

// Sums over rows and time that become gradients. Those over g lack the factor rate, see `finish`.
struct Sums {
    ALIGNED REAL lateral[HIDDEN * H];               // g a
    ALIGNED REAL weights_in[some(I * H)];           // x g
    ALIGNED REAL weights_out[some(OUTPUTS * H)];    // dy a
    ALIGNED REAL g[H], leak[H], leak_slope[H], c1[H], c2[H], stimuli[H], scale[H], bias[H], initial[H];
    ALIGNED REAL bias_out[some(O)];
};

void add(Sums& to, const Sums& from) {
    static_assert(sizeof(Sums) % sizeof(REAL) == 0);
    REAL* a = reinterpret_cast<REAL*>(&to);
    const REAL* b = reinterpret_cast<const REAL*>(&from);
    for (size_t i = 0; i < sizeof(Sums) / sizeof(REAL); ++i) a[i] += b[i];
}

void pack(const Call& c, int64_t candidate) {
    Packed& p = reinterpret_cast<Packed*>(c.packed)[candidate];
    std::memset(static_cast<void*>(&p), 0, sizeof(Packed));
    const REAL* neurons = c.neurons + candidate * NEURON_ROWS * HIDDEN;
    REAL* rows[] = {p.resting, p.rate, p.scale, p.bias, p.initial, p.c1, p.c2};
    for (int i = 0; i < NEURON_ROWS; ++i) std::copy_n(neurons + i * HIDDEN, HIDDEN, rows[i]);
    for (int n = 0; n < H; n += LANES) {
        const V z = load(p.scale + n) * (load(p.initial + n) + load(p.bias + n));
        store(p.initial_activations + n, activation(z));
    }
    const REAL* lateral = c.lateral + candidate * HIDDEN * HIDDEN;
    for (int i = 0; i < HIDDEN; ++i)
        for (int j = 0; j < HIDDEN; ++j) {
            p.lateral_transposed[j * H + i] = lateral[i * HIDDEN + j];
            p.lateral_rate[i * H + j] = lateral[i * HIDDEN + j] * p.rate[i];
        }
    const REAL* weights_in = c.weights_in + candidate * HIDDEN * INPUTS;
    for (int i = 0; i < HIDDEN; ++i)
        for (int k = 0; k < INPUTS; ++k) p.weights_in[k * H + i] = weights_in[i * INPUTS + k];
    if (c.bias_in) std::copy_n(c.bias_in + candidate * HIDDEN, HIDDEN, p.bias_in);
    const REAL* weights_out = c.weights_out + candidate * OUTPUTS * HIDDEN;
    for (int o = 0; o < OUTPUTS; ++o)
        for (int j = 0; j < HIDDEN; ++j) {
            p.weights_out_transposed[j * O + o] = weights_out[o * HIDDEN + j];
            p.weights_out[o * H + j] = weights_out[o * HIDDEN + j];
        }
    if (c.bias_out) std::copy_n(c.bias_out + candidate * OUTPUTS, OUTPUTS, p.bias_out);
}

// A tile's sequences in the user's memory. Rows beyond the batch repeat its last one.
struct Tile {
    const Call& c;
    int rows;
    int64_t index[TILE];
    int64_t total;

    Tile(const Call& call, int64_t candidate, int64_t number) : c(call), total(call.batch * call.population) {
        const int64_t first = number * TILE;
        rows = int(std::min<int64_t>(TILE, c.batch - first));
        for (int r = 0; r < TILE; ++r) index[r] = candidate * c.batch + first + std::min(r, rows - 1);
    }
    const REAL* inputs(int64_t t, int r) const { return c.inputs + t * c.inputs_time + index[r] * c.inputs_batch; }
    const REAL* before(int64_t t, int r) const {
        return t ? over_time(c.trajectory, t - 1, HIDDEN, r) : c.potentials + index[r] * c.potentials_batch;
    }
    template <typename T>
    T* over_time(T* start, int64_t t, int width, int r) const { return start + (t * total + index[r]) * width; }
    bool starts(int64_t t, int r) const { return c.starts[t * c.starts_time + index[r] * c.starts_batch]; }
};

}  // namespace
