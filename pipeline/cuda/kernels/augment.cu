// The augmentation kernels: from decoded images in device memory to normalised views in a row of the batch.
//
//   smog_weights       filter weights of every output, both axes; sums of grey levels to zero
//   smog_lines         column pass of views that become much smaller, into scratch memory
//   smog_resample      crop, resize, flip; colour up to contrast; sum of grey levels
//   smog_colour        contrast, the colour operations behind it, greyscale
//   smog_blur_rows     row pass of the blur, into scratch memory
//   smog_blur_columns  column pass of the blur
//
// Whichever comes last for a view also solarises, normalises and writes. Each is one launch for all views of a batch,
// and left out where no view needs it. Until its last launch a view's bytes wait in the low bits of the values of
// their final place, so there is no other copy of it.
//
// Every step gives bytes, by the integers of the CPU renderer: both make the same views, bit for bit.
//
// One source for three compilers: nvcc, NVRTC, and a C++ compiler (oracle.cpp), which is how it is tested without a
// GPU. Hence no shared memory and no barriers, and no header but our own.
#include "colour.h"

#ifdef __CUDACC__
__device__ inline u32 bits_of(float value) { return __float_as_uint(value); }
#endif

// The view that a tile belongs to. Views without tiles begin where the next one does, so they are never the last that
// begins at or before the tile.
__device__ inline u32 view_of(const Batch& batch, int stage, u32 tile) {
    const View* views = (const View*)batch.views;
    u32 low = 0, high = batch.num_views;
    while (high - low > 1) {
        u32 middle = (low + high) / 2;
        if (views[middle].first_tile[stage] <= tile) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

// The first item of a tile, and one more than the last.
struct Items {
    u32 first, end;
};

__device__ inline Items items_of(const View& view, int stage, u32 tile, u32 per_tile, u32 num_items) {
    u32 first = (tile - view.first_tile[stage]) * per_tile;
    u32 end = first + per_tile < num_items ? first + per_tile : num_items;
    Items items = {first, end};
    return items;
}

// ---- values of the row that is written ---------------------------------------------------------------------------

// To the nearest, ties to even.
__device__ inline u16 bf16_of(float value) {
    u32 bits = bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (u16)((bits >> 16) | 0x40u);
    return (u16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

__device__ inline void put(const Batch& batch, const View& view, u64 at, int byte, int channel) {
    float value = (float)byte * batch.scale[channel] + batch.shift[channel];
    if (batch.bf16) {
        ((u16*)view.out)[at + channel] = bf16_of(value);
    } else {
        ((float*)view.out)[at + channel] = value;
    }
}

// The finished pixel.
__device__ inline void finish(const Batch& batch, const View& view, u32 item, Triple pixel) {
    if (view.flags & SOLARIZE) {
        pixel.red = invert_from(pixel.red, view.threshold);
        pixel.green = invert_from(pixel.green, view.threshold);
        pixel.blue = invert_from(pixel.blue, view.threshold);
    }
    u64 at = 3 * (u64)item;
    put(batch, view, at, pixel.red, 0);
    put(batch, view, at, pixel.green, 1);
    put(batch, view, at, pixel.blue, 2);
}

// A pixel that waits for the next launch, as whole numbers in the place of its values.
__device__ inline void store(const Batch& batch, const View& view, u32 item, Triple pixel) {
    u64 at = 3 * (u64)item;
    if (batch.bf16) {
        u16* out = (u16*)view.out + at;
        out[0] = (u16)pixel.red;
        out[1] = (u16)pixel.green;
        out[2] = (u16)pixel.blue;
    } else {
        u32* out = (u32*)view.out + at;
        out[0] = (u32)pixel.red;
        out[1] = (u32)pixel.green;
        out[2] = (u32)pixel.blue;
    }
}

__device__ inline Triple load(const Batch& batch, const View& view, u32 item) {
    u64 at = 3 * (u64)item;
    if (batch.bf16) {
        const u16* out = (const u16*)view.out + at;
        Triple pixel = {out[0], out[1], out[2]};
        return pixel;
    }
    const u32* out = (const u32*)view.out + at;
    Triple pixel = {(int)out[0], (int)out[1], (int)out[2]};
    return pixel;
}

// All that follows jitter: greyscale, and either the end or the wait for the blur.
__device__ inline void after_jitter(const Batch& batch, const View& view, u32 item, Triple pixel) {
    if (view.flags & GRAY) pixel = gray(pixel);
    if (view.flags & BLUR) {
        store(batch, view, item, pixel);
    } else {
        finish(batch, view, item, pixel);
    }
}

// ---- kernels -----------------------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(THREADS) smog_weights(const Batch batch) {
    for (u32 tile = blockIdx.x; tile < batch.num_tiles[WEIGHTS]; tile += gridDim.x) {
        u32 index = view_of(batch, WEIGHTS, tile);
        const View& view = ((const View*)batch.views)[index];
        Items items = items_of(view, WEIGHTS, tile, OUTPUTS_PER_TILE, 2 * view.side);
        for (u32 item = items.first + threadIdx.x; item < items.end; item += blockDim.x) {
            if (item == 0) ((u32*)batch.luma)[index] = 0;
            if (item < view.side) {
                weigh_output(view.columns, view.side, 1 << ROW_BITS, item);
            } else {
                weigh_output(view.rows, view.side, COLUMN_ONE, item - view.side);
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) smog_lines(const Batch batch) {
    for (u32 tile = blockIdx.x; tile < batch.num_tiles[LINES]; tile += gridDim.x) {
        const View& view = ((const View*)batch.views)[view_of(batch, LINES, tile)];
        Items items = items_of(view, LINES, tile, PIXELS_PER_TILE, view.side * view.lines_width);
        for (u32 item = items.first + threadIdx.x; item < items.end; item += blockDim.x) {
            u32 y = item / view.lines_width;
            u32 column = view.lines_first + item % view.lines_width;
            Span down = ((const Span*)view.rows.spans)[y];
            const u8* source = (const u8*)view.source + down.first * view.step_y + column * view.step_x;
            const u16* weights = (const u16*)view.rows.weights + y;
            Triple sums = weigh_column(source, view.step_y, weights, view.side, down.count);
            u16* line = (u16*)view.lines + 3 * (u64)item;
            line[0] = (u16)sums.red;
            line[1] = (u16)sums.green;
            line[2] = (u16)sums.blue;
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) smog_resample(const Batch batch) {
    for (u32 tile = blockIdx.x; tile < batch.num_tiles[RESAMPLE]; tile += gridDim.x) {
        u32 index = view_of(batch, RESAMPLE, tile);
        const View& view = ((const View*)batch.views)[index];
        Items items = items_of(view, RESAMPLE, tile, PIXELS_PER_TILE, view.side * view.side);
        u32 sum = 0;
        for (u32 item = items.first + threadIdx.x; item < items.end; item += blockDim.x) {
            Triple pixel = resample(view, item % view.side, item / view.side);
            if (view.flags & NEEDS_MEAN) {
                pixel = colour(pixel, view, 0, view.num_before_mean, 0);
                sum += (u32)gray_level(pixel);
                store(batch, view, item, pixel);
            } else {
                pixel = colour(pixel, view, 0, view.num_ops, 0);
                after_jitter(batch, view, item, pixel);
            }
        }
        if (view.flags & NEEDS_MEAN) {
            // A sum of integers, so the order of additions does not count.
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 800
            // The whole warp is here: it shares the tile, hence the view.
            sum = __reduce_add_sync(0xffffffffu, sum);
            if (threadIdx.x % 32 != 0) sum = 0;
#endif
#endif
            if (sum > 0) atomicAdd((u32*)batch.luma + index, sum);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) smog_colour(const Batch batch) {
    for (u32 tile = blockIdx.x; tile < batch.num_tiles[COLOUR]; tile += gridDim.x) {
        u32 index = view_of(batch, COLOUR, tile);
        const View& view = ((const View*)batch.views)[index];
        u32 luma = ((const u32*)batch.luma)[index];
        Items items = items_of(view, COLOUR, tile, PIXELS_PER_TILE, view.side * view.side);
        for (u32 item = items.first + threadIdx.x; item < items.end; item += blockDim.x) {
            Triple pixel = load(batch, view, item);
            pixel = colour(pixel, view, view.num_before_mean, view.num_ops, luma);
            after_jitter(batch, view, item, pixel);
        }
    }
}

// Bits below the point between the passes of the blur.
#define BLUR_FRAC 6

__device__ inline u32 weigh_pair(u32 values, u32 weight) { return (values * weight) >> 16; }

// Position `at` mirrored at the ends of a line, which are not repeated. It is at most a line's length outside.
__device__ inline u32 mirrored(int at, int side) {
    at = at < 0 ? -at : at;
    return (u32)(at < side ? at : 2 * (side - 1) - at);
}

extern "C" __global__ void __launch_bounds__(THREADS) smog_blur_rows(const Batch batch) {
    for (u32 tile = blockIdx.x; tile < batch.num_tiles[BLUR_ROWS]; tile += gridDim.x) {
        const View& view = ((const View*)batch.views)[view_of(batch, BLUR_ROWS, tile)];
        const u16* weights = (const u16*)view.blur_weights;
        Items items = items_of(view, BLUR_ROWS, tile, PIXELS_PER_TILE, view.side * view.side);
        for (u32 item = items.first + threadIdx.x; item < items.end; item += blockDim.x) {
            int x = (int)(item % view.side);
            u32 row = item - (u32)x;
            Triple pixel = load(batch, view, item);
            u32 red = weigh_pair((u32)pixel.red << BLUR_FRAC, weights[0]);
            u32 green = weigh_pair((u32)pixel.green << BLUR_FRAC, weights[0]);
            u32 blue = weigh_pair((u32)pixel.blue << BLUR_FRAC, weights[0]);
            for (int k = 1; k <= (int)view.radius; k++) {
                Triple left = load(batch, view, row + mirrored(x - k, (int)view.side));
                Triple right = load(batch, view, row + mirrored(x + k, (int)view.side));
                red += weigh_pair((u32)(left.red + right.red) << BLUR_FRAC, weights[k]);
                green += weigh_pair((u32)(left.green + right.green) << BLUR_FRAC, weights[k]);
                blue += weigh_pair((u32)(left.blue + right.blue) << BLUR_FRAC, weights[k]);
            }
            u16* out = (u16*)view.blurred + 3 * (u64)item;
            out[0] = (u16)red;
            out[1] = (u16)green;
            out[2] = (u16)blue;
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) smog_blur_columns(const Batch batch) {
    for (u32 tile = blockIdx.x; tile < batch.num_tiles[BLUR_COLUMNS]; tile += gridDim.x) {
        const View& view = ((const View*)batch.views)[view_of(batch, BLUR_COLUMNS, tile)];
        const u16* weights = (const u16*)view.blur_weights;
        const u16* rows = (const u16*)view.blurred;
        Items items = items_of(view, BLUR_COLUMNS, tile, PIXELS_PER_TILE, view.side * view.side);
        for (u32 item = items.first + threadIdx.x; item < items.end; item += blockDim.x) {
            u32 x = item % view.side;
            int y = (int)(item / view.side);
            const u16* middle = rows + 3 * (u64)item;
            // Each of the 2 * (radius + 1) products lost half a unit on average.
            u32 rounding = (1u << (BLUR_FRAC - 1)) + view.radius + 1;
            u32 red = rounding + weigh_pair(middle[0], weights[0]);
            u32 green = rounding + weigh_pair(middle[1], weights[0]);
            u32 blue = rounding + weigh_pair(middle[2], weights[0]);
            for (int k = 1; k <= (int)view.radius; k++) {
                const u16* above = rows + 3 * ((u64)mirrored(y - k, (int)view.side) * view.side + x);
                const u16* below = rows + 3 * ((u64)mirrored(y + k, (int)view.side) * view.side + x);
                red += weigh_pair((u32)above[0] + below[0], weights[k]);
                green += weigh_pair((u32)above[1] + below[1], weights[k]);
                blue += weigh_pair((u32)above[2] + below[2], weights[k]);
            }
            red >>= BLUR_FRAC;
            green >>= BLUR_FRAC;
            blue >>= BLUR_FRAC;
            Triple pixel = {
                (int)(red < 255 ? red : 255),
                (int)(green < 255 ? green : 255),
                (int)(blue < 255 ? blue : 255),
            };
            finish(batch, view, item, pixel);
        }
    }
}
