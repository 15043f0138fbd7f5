// What the host tells the kernels. The same structs are in src/kernels/params.rs; a test compares every offset.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// The launches of a batch, in this order.
enum Stage { WEIGHTS, LINES, RESAMPLE, COLOUR, BLUR_ROWS, BLUR_COLUMNS, NUM_STAGES };

// Threads of a block. A block's threads share a tile, so all of them work on one view.
#define THREADS 256
// Items of a tile: pixels, or outputs of a filter, which take longer each.
#define PIXELS_PER_TILE 1024
#define OUTPUTS_PER_TILE 128

// Bits of View::flags.
#define FLIP 1u
#define GRAY 2u
#define BLUR 4u
#define SOLARIZE 8u
// The column pass goes through scratch memory, see smog_lines.
#define TWO_PASSES 16u
// There is a contrast, so colours from there on wait for the mean of the whole view.
#define NEEDS_MEAN 32u

// Colour operations: bytes of View::ops, the first in the lowest.
enum Op { BRIGHTNESS, CONTRAST, SATURATION, HUE };

// Source pixels of one output of a filter: `count` from `first` on.
struct Span {
    u32 first;
    u32 count;
};

// One axis of a crop: `length` source pixels from `start` on become the view's side.
struct Axis {
    double start;
    double length;
    // Address of one Span per output.
    u64 spans;
    // Address of the weights, `taps` rows of one u16 per output: neighbours in x lie beside each other.
    u64 weights;
    // Source pixels that there are.
    u32 limit;
    u32 taps;
};

// A blend in fixed point, see blend.rs of the pipeline.
struct Blend {
    u32 multiplier;
    u32 frac;
};

// One view to make.
struct View {
    // Address of the pixel as shown at the upper left of the box, or of the image where the filter may look past
    // the box. The EXIF orientation is in the steps, which are bytes and may be negative.
    u64 source;
    i64 step_x;
    i64 step_y;
    // Address of the finished row of the batch.
    u64 out;
    // Addresses in scratch memory: the lines of the column pass, the rows of the blur.
    u64 lines;
    u64 blurred;
    // Address of `radius + 1` weights.
    u64 blur_weights;
    Axis columns;
    Axis rows;
    // First source column of `lines`, and how many there are.
    u32 lines_first;
    u32 lines_width;
    u32 side;
    u32 flags;
    u32 num_ops;
    // How many of them come before contrast.
    u32 num_before_mean;
    u32 ops;
    Blend brightness;
    Blend contrast;
    // 1 - factor
    float contrast_rest;
    Blend saturation;
    // Of the grey level; taken off where the factor is over 1.
    u32 saturation_rest;
    u32 away_from_gray;
    int hue;
    u32 threshold;
    u32 radius;
    // Tiles of the views before this one, for each stage.
    u32 first_tile[NUM_STAGES];
    // Makes the size a multiple of 8 in sight.
    u32 unused;
};

// The argument of every kernel.
struct Batch {
    // Address of the views.
    u64 views;
    // Address of one u32 per view: the sum of its grey levels.
    u64 luma;
    u32 num_views;
    // 1: values are written as bfloat16, 0: as float.
    u32 bf16;
    // What is written is byte * scale + shift, per channel.
    float scale[3];
    float shift[3];
    u32 num_tiles[NUM_STAGES];
};

static_assert(sizeof(Span) == 8, "as in params.rs");
static_assert(sizeof(Axis) == 40, "as in params.rs");
static_assert(sizeof(View) == 240, "as in params.rs");
static_assert(sizeof(Batch) == 72, "as in params.rs");
