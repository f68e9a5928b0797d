// A neural field over a whole sequence, forward and backward, for one shape that is fixed when this is compiled.
//
//   s = W x + b + M a,  u' = clamp(u + rate (s + d (c0 + c1 |d|^k + c2 |d|^2k))),  d = h - u
//   a = phi(scale (u' + bias)),  y = V a + v
//
// Neurons lie in the lanes of a vector. A tile of a few sequences runs through all time steps by itself, so threads
// never wait for each other. Only potentials are kept between the two passes; the backward pass is linear in the
// adjoint and computes everything else anew. Sums are taken per tile, then per section, then over sections, all in a
// fixed order: results do not depend on the number of threads.
//
// Fixed by the build: REAL (float, double), HIDDEN, INPUTS (0: stimuli come instead of inputs), OUTPUTS (0: none),
// POWER (k) and TERMS (how many of c1, c2 there are), TANH (0: the logistic function).

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define ALIGNED alignas(64)
#define UNROLL _Pragma("GCC unroll 32")

namespace {

constexpr int machine_bytes =
#if defined(__AVX512F__)
    64;
#elif defined(__AVX__)
    32;
#else
    16;
#endif

constexpr int some(int n) { return n > 0 ? n : 1; }  // an array cannot be empty
constexpr int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// Of the smallest vector that has so many, or of the machine's widest.
constexpr int choose_lanes(int numbers) {
    int lanes = 16 / int(sizeof(REAL));
    while (lanes < numbers && lanes * int(sizeof(REAL)) < machine_bytes) lanes *= 2;
    return lanes;
}

constexpr int LANES = choose_lanes(HIDDEN), OUTPUT_LANES = choose_lanes(OUTPUTS);
constexpr int H = round_up(HIDDEN, LANES);
constexpr int I = INPUTS;
constexpr int O = round_up(OUTPUTS, OUTPUT_LANES);
constexpr int NEURON_ROWS = 5 + TERMS;

// Sized so that a block of accumulators fits the machine's vector registers: 32 with AVX-512, else 16.
constexpr int BLOCK_ROWS = machine_bytes == 64 ? 8 : 4;
#ifndef TILE_ROWS
#define TILE_ROWS 16
#endif
constexpr int TILE = TILE_ROWS;
constexpr int MAX_SECTIONS = 16;
constexpr REAL POTENTIALS_MAX = 100;

typedef REAL V __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
typedef REAL VO __attribute__((vector_size(OUTPUT_LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
typedef std::conditional_t<sizeof(REAL) == 4, int32_t, int64_t> Integer;
typedef Integer N __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

inline V splat(REAL x) { return V{} + x; }
template <typename T = V>
inline T load(const REAL* p) {  // of any alignment, which a vector type tells a template no more
    T v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <typename T>
inline void store(REAL* p, T v) { std::memcpy(p, &v, sizeof v); }
inline bool any(N mask) {
    Integer lanes[LANES], found = 0;
    std::memcpy(lanes, &mask, sizeof lanes);
    for (int i = 0; i < LANES; ++i) found |= lanes[i];
    return found != 0;
}
inline V absolute(V x) { return x < 0 ? -x : x; }
template <typename T>
inline T clamp(T x, REAL limit) {  // NaN stays
    const T high = T{} + limit, low = -high;
#if defined(__AVX512F__)
    // GCC compares and selects otherwise, which takes twice as long.
    if constexpr (std::is_same_v<REAL, float> && sizeof(T) == 64)
        return (T)_mm512_max_ps((__m512)low, _mm512_min_ps((__m512)high, (__m512)x));
#endif
    x = x > high ? high : x;
    return x < low ? low : x;
}

// A user's row has `width` numbers, ours as many as fill whole vectors. The padding is zero.
template <int width>
inline V load_part(const REAL* row, int column) {
    if (column + LANES <= width) return load(row + column);
    V v{};
    std::memcpy(&v, row + column, (width % LANES) * sizeof(REAL));
    return v;
}
template <int width>
inline void store_part(REAL* row, int column, V v) {
    if (column + LANES <= width)
        store(row + column, v);
    else
        std::memcpy(row + column, &v, (width % LANES) * sizeof(REAL));
}

// ---------------------------------------------------------------------------------------------- nonlinearities

// exp(x) - 1 = 2^n e + (2^n - 1) with e = exp(r) - 1 by its Taylor series, |r| <= log(2) / 2.
struct Exponential {
    V power_of_two, remainder;  // 2^n and e
};

inline Exponential exponential(V x) {
    constexpr bool single = sizeof(REAL) == 4;
    constexpr int mantissa = single ? 23 : 52;
    constexpr Integer exponent_bias = single ? 127 : 1023;
    constexpr int degree = single ? 7 : 13;
    // Adding 1.5 * 2^mantissa leaves the nearest integer in the lowest bits; -ffast-math would fold it away.
    constexpr REAL rounder = REAL(Integer(3) << (mantissa - 1));
    constexpr REAL log2_high = single ? REAL(0x1.62e4p-1) : REAL(0x1.62e42fee00000p-1);
    constexpr REAL log2_low = single ? REAL(1.42860682030941723e-06) : REAL(1.90821492927058770e-10);
    const V shifted = x * REAL(1.44269504088896341) + rounder;
    const V n = shifted - rounder;
    const V r = (x - n * log2_high) - n * log2_low;
    V e = splat(REAL(1) / [] { REAL f = 1; for (int i = 2; i <= degree; ++i) f *= i; return f; }());
    REAL factorial = 1;
    for (int i = 2; i <= degree; ++i) factorial *= i;
    UNROLL for (int i = degree; i > 1; --i) {
        factorial /= i;
        e = e * r + REAL(1) / factorial;
    }
    const N bits = (reinterpret_cast<const N&>(shifted) + exponent_bias) << mantissa;
    return {reinterpret_cast<const V&>(bits), e * r};
}

inline V activation(V z) {
    constexpr bool single = sizeof(REAL) == 4;
#if TANH
    const auto [p, e] = exponential(REAL(2) * clamp(z, single ? 10 : 20));
    const V expm1 = p * e + (p - REAL(1));
    return expm1 / (expm1 + REAL(2));
#else
    const auto [p, e] = exponential(-clamp(z, single ? 87 : 708));
    return REAL(1) / (REAL(1) + (p * e + p));
#endif
}

inline V slope(V a) {
#if TANH
    return REAL(1) - a * a;
#else
    return a * (REAL(1) - a);
#endif
}

// ------------------------------------------------------------------------------------------------ matrix blocks

// acc[r][n] += sum over k of rows[r][k] * matrix[k][n]
template <int K, typename T, int R, int NB>
inline void accumulate(T (&acc)[R][NB], const REAL* rows, int row_stride, const REAL* matrix, int width) {
    constexpr int lanes = sizeof(T) / sizeof(REAL);
    _Pragma("GCC unroll 4") for (int k = 0; k < K; ++k) {
        T m[NB];
        UNROLL for (int n = 0; n < NB; ++n) m[n] = load<T>(matrix + k * width + n * lanes);
        UNROLL for (int r = 0; r < R; ++r)
            UNROLL for (int n = 0; n < NB; ++n) acc[r][n] += rows[r * row_stride + k] * m[n];
    }
}

// out[r] = start + sum over k of rows[r][k] * matrix[k]; `width` columns in vectors T, TILE rows.
template <typename T, int K, int width>
inline void product(REAL* out, const REAL* start, const REAL* rows, int row_stride, const REAL* matrix) {
    constexpr int lanes = sizeof(T) / sizeof(REAL), NB = width % (2 * lanes) == 0 ? 2 : 1;
    for (int column = 0; column < width; column += NB * lanes)
        for (int first = 0; first < TILE; first += BLOCK_ROWS) {
            T acc[BLOCK_ROWS][NB];
            UNROLL for (int r = 0; r < BLOCK_ROWS; ++r)
                UNROLL for (int n = 0; n < NB; ++n) acc[r][n] = load<T>(start + column + n * lanes);
            accumulate<K>(acc, rows + first * row_stride, row_stride, matrix + column, width);
            UNROLL for (int r = 0; r < BLOCK_ROWS; ++r)
                UNROLL for (int n = 0; n < NB; ++n)
                    store(out + (first + r) * width + column + n * lanes, acc[r][n]);
        }
}

// sum[k][n] += sum over the tile's rows of left[r][k] * right[r][n], for KB values of k
template <int KB, int NB>
inline void outer_block(REAL* sum, int width, const REAL* left, int left_stride, const REAL* right) {
    V acc[KB][NB];
    UNROLL for (int k = 0; k < KB; ++k)
        UNROLL for (int n = 0; n < NB; ++n) acc[k][n] = load(sum + k * width + n * LANES);
    _Pragma("GCC unroll 4") for (int r = 0; r < TILE; ++r) {
        V v[NB];
        UNROLL for (int n = 0; n < NB; ++n) v[n] = load(right + r * width + n * LANES);
        UNROLL for (int k = 0; k < KB; ++k) {
            const V x = splat(left[r * left_stride + k]);
            UNROLL for (int n = 0; n < NB; ++n) acc[k][n] += x * v[n];
        }
    }
    UNROLL for (int k = 0; k < KB; ++k)
        UNROLL for (int n = 0; n < NB; ++n) store(sum + k * width + n * LANES, acc[k][n]);
}

template <int K, int width>
inline void outer(REAL* sum, const REAL* left, int left_stride, const REAL* right) {
    constexpr int NB = width % (2 * LANES) == 0 ? 2 : 1;
    constexpr int KB = 2 * BLOCK_ROWS / NB;
    for (int column = 0; column < width; column += NB * LANES) {
        int k = 0;
        for (; k + KB <= K; k += KB)
            outer_block<KB, NB>(sum + k * width + column, width, left + k, left_stride, right + column);
        if constexpr (K % KB != 0)
            outer_block<K % KB, NB>(sum + k * width + column, width, left + k, left_stride, right + column);
    }
}

}  // namespace

// ------------------------------------------------------------------------------------------------------- memory

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

// ------------------------------------------------------------------------------------------------------ the field

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

int64_t tiles(const Call& c) { return (c.batch + TILE - 1) / TILE; }

}  // namespace

extern "C" {

int64_t packed_size() { return sizeof(Packed); }

void prepare(const Call* c) {
    for (int64_t candidate = 0; candidate < c->population; ++candidate) pack(*c, candidate);
}

void forward(const Call* c) {
    const Packed* packed = reinterpret_cast<const Packed*>(c->packed);
    const int64_t per_candidate = tiles(*c), total = c->population * per_candidate;
    const int threads = int(std::min(c->threads, total));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < total; ++i)
        forward_tile(packed[i / per_candidate], Tile(*c, i / per_candidate, i % per_candidate));
}

void backward(const Call* c) {
    const Packed& packed = *reinterpret_cast<const Packed*>(c->packed);
    const int64_t total = tiles(*c), sections = std::max<int64_t>(1, std::min<int64_t>(MAX_SECTIONS, total));
    const int threads = int(std::min(c->threads, sections));
    const std::unique_ptr<Sums[]> partial(new Sums[sections]());
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t s = 0; s < sections; ++s) {
        const std::unique_ptr<Sums> sums(new Sums);
        for (int64_t i = total * s / sections; i < total * (s + 1) / sections; ++i) {
            std::memset(static_cast<void*>(sums.get()), 0, sizeof(Sums));
            backward_tile(packed, Tile(*c, 0, i), *sums);
            add(partial[s], *sums);
        }
    }
    for (int64_t s = 1; s < sections; ++s) add(partial[0], partial[s]);
    finish(*c, partial[0]);
}

}
