// Colour operations on one pixel of bytes: blend.rs, gray.rs, saturation.rs, hue.rs and solarize.rs of the pipeline.
// Integers, rounded to bytes after each operation as there; multipliers are computed by the host with the same code.
#pragma once

#include "filter.h"

__device__ inline int gray_level(Triple pixel) {
    return (19595 * pixel.red + 38470 * pixel.green + 7471 * pixel.blue + 0x8000) >> 16;
}

// A product is the high half of 32 bits, kept in 16 bits.
__device__ inline int product(int value, u32 multiplier) { return (short)((((u32)value << 8) * multiplier) >> 16); }

// A sum in 16 bits that saturates, as a byte.
__device__ inline int blend_byte(int sum, u32 frac) {
    sum = sum < -32768 ? -32768 : sum > 32767 ? 32767 : sum;
    sum >>= frac;
    return sum < 0 ? 0 : sum > 255 ? 255 : sum;
}

__device__ inline Triple blend(Triple pixel, Blend by, int offset) {
    Triple out = {
        blend_byte(product(pixel.red, by.multiplier) + offset, by.frac),
        blend_byte(product(pixel.green, by.multiplier) + offset, by.frac),
        blend_byte(product(pixel.blue, by.multiplier) + offset, by.frac),
    };
    return out;
}

// (1 - factor) * mean with `frac` bits below the point, rounded half away from zero as Rust's `round`. The sum with
// a half is exact in double precision.
__device__ inline int contrast_offset(const View& view, u32 luma) {
    u32 num_pixels = view.side * view.side;
    u32 mean = (luma + num_pixels / 2) / num_pixels;
    float offset = view.contrast_rest * (float)mean * (float)(1u << view.contrast.frac);
    int rounded = offset < 0.0f ? -(int)(0.5 - (double)offset) : (int)((double)offset + 0.5);
    return rounded < -32768 ? -32768 : rounded > 32767 ? 32767 : rounded;
}

__device__ inline Triple saturate(Triple pixel, const View& view) {
    int rest = product(gray_level(pixel), view.saturation_rest);
    return blend(pixel, view.saturation, view.away_from_gray ? -rest : rest);
}

// Hues times chroma have 4 bits below the point: a level is 16, a sixth of the circle 16 * chroma.
#define HUE_FRAC 4

__device__ inline int hue_channel(int value, int chroma, int hue, int opposite) {
    int sixth = chroma << HUE_FRAC;
    int turn = 6 * sixth;
    int distance = hue - opposite * sixth;
    distance = distance < 0 ? -distance : distance;
    distance = distance < turn - distance ? distance : turn - distance;
    int less = 2 * sixth - distance;
    less = less < 0 ? 0 : less > sixth ? sixth : less;
    return (u8)(((value << HUE_FRAC) - less + (1 << (HUE_FRAC - 1))) >> HUE_FRAC);
}

__device__ inline Triple turn_hue(Triple pixel, int shift) {
    int red = pixel.red, green = pixel.green, blue = pixel.blue;
    int value = red > green ? red : green;
    value = value > blue ? value : blue;
    int least = red < green ? red : green;
    least = least < blue ? least : blue;
    int chroma = value - least;
    int hue;
    if (red == value) {
        hue = green - blue;
    } else if (green == value) {
        hue = 2 * chroma + blue - red;
    } else {
        hue = 4 * chroma + red - green;
    }
    // The shift has 13 bits below the point: 7 + 13 - 16 is 4.
    hue = hue * (1 << HUE_FRAC) + (((chroma << 7) * shift) >> 16);
    int turn = 6 * (chroma << HUE_FRAC);
    hue = hue < 0 ? hue + turn : hue;
    hue = hue >= turn ? hue - turn : hue;
    Triple out = {
        hue_channel(value, chroma, hue, 3),
        hue_channel(value, chroma, hue, 5),
        hue_channel(value, chroma, hue, 1),
    };
    return out;
}

// Operations `from` up to `to` of the drawn order. `luma` counts where contrast is among them.
__device__ inline Triple colour(Triple pixel, const View& view, u32 from, u32 to, u32 luma) {
    for (u32 index = from; index < to; index++) {
        switch ((view.ops >> (8 * index)) & 0xff) {
        case BRIGHTNESS:
            pixel = blend(pixel, view.brightness, 0);
            break;
        case CONTRAST:
            pixel = blend(pixel, view.contrast, contrast_offset(view, luma));
            break;
        case SATURATION:
            pixel = saturate(pixel, view);
            break;
        default:
            pixel = turn_hue(pixel, view.hue);
        }
    }
    return pixel;
}

__device__ inline Triple gray(Triple pixel) {
    int level = gray_level(pixel);
    Triple out = {level, level, level};
    return out;
}

__device__ inline int invert_from(int value, u32 threshold) { return (u32)value < threshold ? value : 255 - value; }
