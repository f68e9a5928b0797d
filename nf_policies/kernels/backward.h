// The backward pass of a tile, and the gradients from its sums.

#pragma once

#include "forward.h"

namespace {

// A potential on the bound was cut to it, and gets no gradient, or it came to lie there by itself: go and see.
inline V uncut(
    const Packed& p, const Tile& tile, int64_t t, int r, int n, V adjoint, V after, const REAL* before, const REAL* x,
    const REAL* a) {
    V s[1][1];
    stimulate(s, p, tile, t, r, n, x, a);
    const V uncut = move(p, REAL(tile.c.c0), n, load(before + r * H + n), s[0][0]);
    return absolute(after) >= POTENTIALS_MAX && absolute(uncut) > POTENTIALS_MAX ? V{} : adjoint;
}

// What a few rows add to the sums over one vector of neurons. Kept in registers, so it is a copy of what it is for.
struct NeuronSums {
    V g{}, leak{}, leak_slope{}, c1{}, c2{}, stimuli{}, scale{}, bias{}, initial{};

    // Takes the adjoint of the activations over to their potentials and returns it.
    inline V through_activation(const Packed& p, int n, V u, V a, V da) {
        const V dz = slope(a) * da, du = load(p.scale + n) * dz;
        scale += (u + load(p.bias + n)) * dz;
        bias += du;
        return du;
    }
    inline void add_to(Sums& sums, int n) const {
        const V values[] = {g, leak, leak_slope, c1, c2, stimuli, scale, bias, initial};
        REAL* to[] = {sums.g, sums.leak, sums.leak_slope, sums.c1, sums.c2, sums.stimuli, sums.scale, sums.bias,
                      sums.initial};
        UNROLL for (int i = 0; i < 9; ++i) store(to[i] + n, load(to[i] + n) + values[i]);
    }
};

void backward_tile(const Packed& p, const Tile& tile, Sums& sums) {
    const Call& c = tile.c;
    const REAL c0 = REAL(c.c0);
    ALIGNED REAL du[TILE * H] = {}, da[TILE * H] = {}, g[TILE * H], x[some(TILE * I)], dy[some(TILE * O)] = {};
    ALIGNED REAL memory[4][TILE * H];
    REAL *u = memory[0], *a = memory[1], *u_before = memory[2], *a_before = memory[3];
    ALIGNED const REAL zeros[H] = {};

    const auto fetch = [&](int64_t t, int r, REAL* u, REAL* a) {  // potentials before step t
        V largest{};
        for (int n = 0; n < H; n += LANES) {
            const V v = load_part<HIDDEN>(tile.before(t, r), n);
            largest = absolute(v) > largest ? absolute(v) : largest;
            store(u + r * H + n, v);
            store(a + r * H + n, activate(p, n, v));
        }
        return largest;
    };
    const auto fetch_all = [&](int64_t t, REAL* u, REAL* a) {  // and whether one of them lies on the bound
        V largest{};
        for (int r = 0; r < TILE; ++r) {
            const V row = fetch(t, r, u, a);
            largest = row > largest ? row : largest;
        }
        return any(largest >= POTENTIALS_MAX);
    };

    bool bound = fetch_all(c.time, u, a);
    for (int64_t t = c.time - 1; t >= 0; --t) {
        const bool bound_before = fetch_all(t, u_before, a_before);
        for (int r = 0; c.starts && r < TILE; ++r)
            if (tile.starts(t, r)) {
                std::memcpy(u_before + r * H, p.initial, sizeof p.initial);
                std::memcpy(a_before + r * H, p.initial_activations, sizeof p.initial_activations);
            }
        fetch_inputs(x, tile, t);
        for (int r = 0; O && c.d_outputs && r < tile.rows; ++r)
            std::memcpy(dy + r * O, tile.over_time(c.d_outputs, t, OUTPUTS, r), OUTPUTS * sizeof(REAL));

        for (int n = 0; n < H; n += LANES) {
            NeuronSums neuron;
            for (int first = 0; first < TILE; first += BLOCK_ROWS) {
                V from_outputs[BLOCK_ROWS][1];
                UNROLL for (int r = 0; r < BLOCK_ROWS; ++r) from_outputs[r][0] = load(da + (first + r) * H + n);
                if (O) accumulate<OUTPUTS>(from_outputs, dy + first * O, O, p.weights_out + n, H);
                UNROLL for (int k = 0; k < BLOCK_ROWS; ++k) {
                    const int r = first + k, at = r * H + n;
                    V adjoint = load(du + at);
                    adjoint += neuron.through_activation(p, n, load(u + at), load(a + at), from_outputs[k][0]);
                    if (c.d_trajectory && r < tile.rows)
                        adjoint += load_part<HIDDEN>(tile.over_time(c.d_trajectory, t, HIDDEN, r), n);
                    if (__builtin_expect(bound, 0))
                        adjoint = uncut(p, tile, t, r, n, adjoint, load(u + at), u_before, x, a_before);
                    const V d = load(p.resting + n) - load(u_before + at);
                    const Leak q = leak(p, c0, n, d);
                    const V scaled = load(p.rate + n) * adjoint, g_d = adjoint * d;
                    neuron.g += adjoint;
                    neuron.leak += g_d * q.value;
                    neuron.leak_slope += adjoint * q.slope;
                    if (TERMS > 0) neuron.c1 += g_d * q.power;
                    if (TERMS > 1) neuron.c2 += g_d * (q.power * q.power);
                    if (!I) neuron.stimuli += adjoint * load_part<HIDDEN>(tile.inputs(t, r), n);
                    store(g + at, adjoint);
                    store(du + at, adjoint - scaled * q.slope);
                    if (c.d_stimuli && r < tile.rows)
                        store_part<HIDDEN>(tile.over_time(c.d_stimuli, t, HIDDEN, r), n, scaled);
                }
            }
            neuron.add_to(sums, n);
        }

        if (O) outer<OUTPUTS, H>(sums.weights_out, dy, O, a);
        for (int o = 0; o < O; o += OUTPUT_LANES) {
            VO sum = load<VO>(sums.bias_out + o);
            for (int r = 0; r < TILE; ++r) sum += load<VO>(dy + r * O + o);
            store(sums.bias_out + o, sum);
        }
        outer<HIDDEN, H>(sums.lateral, g, H, a_before);
        if (I) outer<I, H>(sums.weights_in, x, I, g);
        product<V, HIDDEN, H>(da, zeros, g, H, p.lateral_rate);

        std::swap(u, u_before);
        std::swap(a, a_before);
        bound = bound_before;
        for (int r = 0; c.starts && r < tile.rows; ++r)
            if (tile.starts(t, r)) {
                for (int n = 0; n < H; n += LANES) {
                    const int at = r * H + n;
                    NeuronSums neuron;
                    neuron.initial = neuron.through_activation(p, n, load(u + at), load(a + at), load(da + at));
                    neuron.initial += load(du + at);
                    neuron.add_to(sums, n);
                    store(du + at, V{});
                    store(da + at, V{});
                }
                fetch(t, r, u, a);
            }
    }

    for (int n = 0; n < H; n += LANES) {
        NeuronSums neuron;
        for (int r = 0; r < tile.rows; ++r) {
            const int at = r * H + n;
            const V from_activations = neuron.through_activation(p, n, load(u + at), load(a + at), load(da + at));
            store_part<HIDDEN>(c.d_potentials + tile.index[r] * HIDDEN, n, load(du + at) + from_activations);
        }
        neuron.add_to(sums, n);
    }
}

// From sums over g to gradients. That of the rate needs the sum of g s, and s is linear in what was summed already.
void finish(const Call& c, const Sums& sums) {
    const Packed& p = *reinterpret_cast<const Packed*>(c.packed);
    for (int i = 0; i < HIDDEN; ++i) {
        REAL g_s = I ? p.bias_in[i] * sums.g[i] : sums.stimuli[i];
        for (int j = 0; j < HIDDEN; ++j) {
            g_s += c.lateral[i * HIDDEN + j] * sums.lateral[i * H + j];
            c.d_lateral[i * HIDDEN + j] = p.rate[i] * sums.lateral[i * H + j];
        }
        for (int k = 0; k < INPUTS; ++k) {
            g_s += c.weights_in[i * INPUTS + k] * sums.weights_in[k * H + i];
            c.d_weights_in[i * INPUTS + k] = p.rate[i] * sums.weights_in[k * H + i];
        }
        if (c.d_bias_in) c.d_bias_in[i] = p.rate[i] * sums.g[i];
        REAL* d = c.d_neurons + i;
        d[0 * HIDDEN] = p.rate[i] * sums.leak_slope[i];
        d[1 * HIDDEN] = g_s + sums.leak[i];
        d[2 * HIDDEN] = sums.scale[i];
        d[3 * HIDDEN] = sums.bias[i];
        d[4 * HIDDEN] = sums.initial[i];
        if (TERMS > 0) d[5 * HIDDEN] = p.rate[i] * sums.c1[i];
        if (TERMS > 1) d[6 * HIDDEN] = p.rate[i] * sums.c2[i];
    }
    for (int o = 0; o < OUTPUTS; ++o)
        std::memcpy(c.d_weights_out + o * HIDDEN, sums.weights_out + o * H, HIDDEN * sizeof(REAL));
    if (c.d_bias_out) std::memcpy(c.d_bias_out, sums.bias_out, OUTPUTS * sizeof(REAL));
}

}  // namespace
