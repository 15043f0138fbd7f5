// The kernels as plain C++, one thread after the other: the oracle that tests hold against the CPU renderer.
#include <cstddef>
#include <cstring>

#define __global__
#define __device__
#define __launch_bounds__(threads)

// What CUDA has built in.
struct Index {
    unsigned int x;
};
static thread_local Index gridDim, blockDim, blockIdx, threadIdx;

static inline void atomicAdd(unsigned int* at, unsigned int value) { *at += value; }

static inline unsigned int bits_of(float value) {
    unsigned int bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

#include "augment.cu"

// Runs a stage with a grid of `blocks` of `threads`.
extern "C" void smog_oracle_launch(u32 stage, const Batch* batch, u32 blocks, u32 threads) {
    typedef void (*Kernel)(const Batch);
    static const Kernel kernels[NUM_STAGES] = {
        smog_weights, smog_lines, smog_resample, smog_colour, smog_blur_rows, smog_blur_columns,
    };
    if (stage >= NUM_STAGES) return;
    gridDim.x = blocks;
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
        for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++) kernels[stage](*batch);
    }
}

extern "C" unsigned short smog_oracle_bf16(float value) { return bf16_of(value); }

// Sizes, offsets and constants in the order of params.rs's test; gives how many there are.
extern "C" u32 smog_oracle_layout(u32* out, u32 capacity) {
    const u32 layout[] = {
        sizeof(Span), offsetof(Span, first), offsetof(Span, count),
        sizeof(Axis), offsetof(Axis, start), offsetof(Axis, length), offsetof(Axis, spans), offsetof(Axis, weights),
        offsetof(Axis, limit), offsetof(Axis, taps),
        sizeof(Blend), offsetof(Blend, multiplier), offsetof(Blend, frac),
        sizeof(View), offsetof(View, source), offsetof(View, step_x), offsetof(View, step_y), offsetof(View, out),
        offsetof(View, lines), offsetof(View, blurred), offsetof(View, blur_weights), offsetof(View, columns),
        offsetof(View, rows), offsetof(View, lines_first), offsetof(View, lines_width), offsetof(View, side),
        offsetof(View, flags), offsetof(View, num_ops), offsetof(View, num_before_mean), offsetof(View, ops),
        offsetof(View, brightness), offsetof(View, contrast), offsetof(View, contrast_rest),
        offsetof(View, saturation), offsetof(View, saturation_rest), offsetof(View, away_from_gray),
        offsetof(View, hue), offsetof(View, threshold), offsetof(View, radius), offsetof(View, first_tile),
        sizeof(Batch), offsetof(Batch, views), offsetof(Batch, luma), offsetof(Batch, num_views),
        offsetof(Batch, bf16), offsetof(Batch, scale), offsetof(Batch, shift), offsetof(Batch, num_tiles),
        NUM_STAGES, THREADS, PIXELS_PER_TILE, OUTPUTS_PER_TILE,
        FLIP, GRAY, BLUR, SOLARIZE, TWO_PASSES, NEEDS_MEAN,
        BRIGHTNESS, CONTRAST, SATURATION, HUE,
    };
    const u32 num = sizeof layout / sizeof layout[0];
    for (u32 index = 0; index < num && index < capacity; index++) out[index] = layout[index];
    return num;
}
