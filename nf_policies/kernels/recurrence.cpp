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

#include "backward.h"

namespace {

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
