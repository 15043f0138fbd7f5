// The antialiased triangle filter of crop and resize: filter.rs and crop/lines.rs of the pipeline, number by number.
#pragma once

#include "params.h"

// Bits below the point between column and row pass, and what one is in the weights of each.
#define FILTER_FRAC 7
#define COLUMN_ONE 65536
#define ROW_BITS 14
// From so many rows on, sums are exact and rounded once.
#define LONG_SUM 33

// A number as Rust's `as u32` takes it; it is below 2^32 here.
__device__ inline u32 cut_off(double value) { return value > 0.0 ? (u32)value : 0; }

__device__ inline double triangle(u32 pixel, double centre, double slope) {
    double distance = (double)pixel + 0.5 - centre;
    double weight = 1.0 - (distance < 0.0 ? -distance : distance) * slope;
    return weight > 0.0 ? weight : 0.0;
}

// Span and weights of one output. IEEE double precision without contraction, so the integers are those of the CPU.
__device__ inline void weigh_output(const Axis& axis, u32 side, u32 one, u32 output) {
    double step = axis.length / (double)side;
    double support = step > 1.0 ? step : 1.0;
    double slope = 1.0 / support;
    double centre = axis.start + ((double)output + 0.5) * step;
    u32 first = cut_off(centre - support + 0.5);
    first = first < axis.limit - 1 ? first : axis.limit - 1;
    u32 end = cut_off(centre + support + 0.5);
    end = end > first + 1 ? end : first + 1;
    end = end < axis.limit ? end : axis.limit;
    u32 used = end - first < axis.taps ? end - first : axis.taps;

    double sum = 0.0;
    for (u32 tap = 0; tap < used; tap++) sum += triangle(first + tap, centre, slope);
    double scale = (double)one / (sum > 0.0 ? sum : 1.0);
    u16* weights = (u16*)axis.weights + output;
    int left = (int)one;
    u32 largest = 0;
    double peak = 0.0;
    for (u32 tap = 0; tap < used; tap++) {
        double exact = triangle(first + tap, centre, slope);
        double rounded = exact * scale + 0.5;
        u32 weight = (u32)(rounded < 65535.0 ? rounded : 65535.0);
        weights[tap * side] = (u16)weight;
        left -= (int)weight;
        if (exact > peak) {
            largest = tap;
            peak = exact;
        }
    }
    // What rounding leaves over goes to the largest.
    int weight = (int)weights[largest * side] + left;
    weight = weight < 0 ? 0 : weight > 65535 ? 65535 : weight;
    weights[largest * side] = (u16)weight;
    u32 count = used;
    while (count > 0 && weights[(count - 1) * side] == 0) count--;
    Span span = {first, count};
    ((Span*)axis.spans)[output] = span;
}

// Three channels of something.
struct Triple {
    int red, green, blue;
};

// The column pass at one source column: `source` is the pixel in the first row of the span.
__device__ inline Triple weigh_column(const u8* source, i64 step, const u16* weights, u32 side, u32 count) {
    u32 red, green, blue;
    if (count < LONG_SUM) {
        // Each product loses half a unit on average.
        red = green = blue = count / 2;
        for (u32 tap = 0; tap < count; tap++) {
            u32 weight = weights[tap * side];
            red += (((u32)source[0] << FILTER_FRAC) * weight) >> 16;
            green += (((u32)source[1] << FILTER_FRAC) * weight) >> 16;
            blue += (((u32)source[2] << FILTER_FRAC) * weight) >> 16;
            source += step;
        }
    } else {
        red = green = blue = 1u << (15 - FILTER_FRAC);
        for (u32 tap = 0; tap < count; tap++) {
            u32 weight = weights[tap * side];
            red += source[0] * weight;
            green += source[1] * weight;
            blue += source[2] * weight;
            source += step;
        }
        red >>= 16 - FILTER_FRAC;
        green >>= 16 - FILTER_FRAC;
        blue >>= 16 - FILTER_FRAC;
    }
    Triple line = {(int)red, (int)green, (int)blue};
    return line;
}

__device__ inline int row_byte(int sum) {
    int value = sum >> (FILTER_FRAC + ROW_BITS);
    return value < 255 ? value : 255;
}

// The row pass: one pixel of the view, its columns weighed here or before.
__device__ inline Triple resample(const View& view, u32 x, u32 y) {
    u32 side = view.side;
    u32 output = view.flags & FLIP ? side - 1 - x : x;
    Span across = ((const Span*)view.columns.spans)[output];
    const u16* weights = (const u16*)view.columns.weights + output;
    int half = 1 << (FILTER_FRAC + ROW_BITS - 1);
    int red = half, green = half, blue = half;
    if (view.flags & TWO_PASSES) {
        const u16* line = (const u16*)view.lines + 3 * ((u64)y * view.lines_width + (across.first - view.lines_first));
        for (u32 tap = 0; tap < across.count; tap++) {
            int weight = weights[tap * side];
            red += line[0] * weight;
            green += line[1] * weight;
            blue += line[2] * weight;
            line += 3;
        }
    } else {
        Span down = ((const Span*)view.rows.spans)[y];
        const u16* down_weights = (const u16*)view.rows.weights + y;
        const u8* source = (const u8*)view.source + down.first * view.step_y + across.first * view.step_x;
        for (u32 tap = 0; tap < across.count; tap++) {
            int weight = weights[tap * side];
            Triple line = weigh_column(source, view.step_y, down_weights, side, down.count);
            red += line.red * weight;
            green += line.green * weight;
            blue += line.blue * weight;
            source += view.step_x;
        }
    }
    Triple pixel = {row_byte(red), row_byte(green), row_byte(blue)};
    return pixel;
}
