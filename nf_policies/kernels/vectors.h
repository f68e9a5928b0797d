// Vectors of the machine's registers, nonlinearities on them, and products of small matrices.
//
// Sizes are fixed by the build: REAL, HIDDEN, INPUTS, OUTPUTS, TERMS, TANH (see recurrence.cpp).

#pragma once

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
