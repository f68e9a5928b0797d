// One step of the field, and the forward pass of a tile.

#pragma once

#include "memory.h"

namespace {

// d (c0 + c1 |d|^k + c2 |d|^2k) = d * value, and its slope in d
struct Leak {
    V power, value, slope;
};

inline Leak leak(const Packed& p, REAL c0, int n, V d) {
    V power{}, value = splat(c0), slope = splat(c0);
    if (TERMS > 0) {
        power = POWER == 1 ? absolute(d) : d * d;
        const V first = load(p.c1 + n) * power;
        value += first;
        slope += first * REAL(POWER + 1);
    }
    if (TERMS > 1) {
        const V second = load(p.c2 + n) * (power * power);
        value += second;
        slope += second * REAL(2 * POWER + 1);
    }
    return {power, value, slope};
}

inline V move(const Packed& p, REAL c0, int n, V u, V s) {
    const V d = load(p.resting + n) - u;
    return u + load(p.rate + n) * (s + d * leak(p, c0, n, d).value);
}

inline V activate(const Packed& p, int n, V u) {
    return activation(load(p.scale + n) * (u + load(p.bias + n)));
}

// s = W x + b + M a for R rows and NB vectors of neurons
template <int R, int NB>
inline void stimulate(
    V (&s)[R][NB], const Packed& p, const Tile& tile, int64_t t, int first, int column, const REAL* x, const REAL* a) {
    UNROLL for (int r = 0; r < R; ++r)
        UNROLL for (int n = 0; n < NB; ++n)
            s[r][n] = I ? load(p.bias_in + column + n * LANES)
                        : load_part<HIDDEN>(tile.inputs(t, first + r), column + n * LANES);
    if (I) accumulate<I>(s, x + first * I, I, p.weights_in + column, H);
    accumulate<HIDDEN>(s, a + first * H, H, p.lateral_transposed + column, H);
}

inline void fetch_inputs(REAL* x, const Tile& tile, int64_t t) {
    if (I)
        for (int r = 0; r < TILE; ++r) std::memcpy(x + r * I, tile.inputs(t, r), I * sizeof(REAL));
}

void forward_tile(const Packed& p, const Tile& tile) {
    constexpr int NB = H % (2 * LANES) == 0 ? 2 : 1;
    const Call& c = tile.c;
    const REAL c0 = REAL(c.c0);
    ALIGNED REAL u[TILE * H], memory[2][TILE * H], x[some(TILE * I)], y[some(TILE * O)];
    REAL *a = memory[0], *next = memory[1];
    for (int r = 0; r < TILE; ++r)
        for (int n = 0; n < H; n += LANES) {
            const V v = load_part<HIDDEN>(tile.before(0, r), n);
            store(u + r * H + n, v);
            store(a + r * H + n, activate(p, n, v));
        }
    for (int64_t t = 0; t < c.time; ++t) {
        for (int r = 0; c.starts && r < TILE; ++r)
            if (tile.starts(t, r)) {
                std::memcpy(u + r * H, p.initial, sizeof p.initial);
                std::memcpy(a + r * H, p.initial_activations, sizeof p.initial_activations);
            }
        fetch_inputs(x, tile, t);
        for (int column = 0; column < H; column += NB * LANES)
            for (int first = 0; first < TILE; first += BLOCK_ROWS) {
                V s[BLOCK_ROWS][NB];
                stimulate(s, p, tile, t, first, column, x, a);
                UNROLL for (int n = 0; n < NB; ++n)
                    UNROLL for (int r = 0; r < BLOCK_ROWS; ++r) {
                        const int i = column + n * LANES, at = (first + r) * H + i;
                        const V v = clamp(move(p, c0, i, load(u + at), s[r][n]), POTENTIALS_MAX);
                        store(u + at, v);
                        store(next + at, activate(p, i, v));
                        store_part<HIDDEN>(tile.over_time(c.trajectory, t, HIDDEN, first + r), i, v);
                    }
            }
        std::swap(a, next);
        if (O) {
            product<VO, HIDDEN, O>(y, p.bias_out, a, H, p.weights_out_transposed);
            for (int r = 0; r < TILE; ++r)
                std::memcpy(tile.over_time(c.outputs, t, OUTPUTS, r), y + r * O, OUTPUTS * sizeof(REAL));
        }
    }
}

}  // namespace
