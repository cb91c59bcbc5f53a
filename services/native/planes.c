/* Blocks of planes; see compression/blocks.py and compression/planes.py. */

#include "packing.h"

#include <string.h>

enum { WORTH_BYTES = 1024 };
enum { SAMPLE = 128, MANY_EQUAL_OF_4_BITS = 24, MANY_EQUAL_OF_8_BITS = 4 };
enum { PLANE_WHOLE = 8, PLANE_COMPRESSED = 255 };

typedef struct {
    const uint8_t *bytes;
    size_t count;
    uint8_t least, span;
} Plane;

#define SPLIT(type)                                                                                                    \
    for (size_t place = 0; place < sizeof(type); place++) {                                                            \
        uint8_t *plane = planes + place * count;                                                                       \
        for (size_t i = 0; i < count; i++) {                                                                           \
            plane[i] = (uint8_t)(((const type *)elements)[i] >> 8 * place);                                            \
        }                                                                                                              \
    }

WIDE void split_planes(const void *elements, size_t count, size_t width, uint8_t *planes) {
    switch (width) {
    case 1:
        memcpy(planes, elements, count);
        break;
    case 2:
        SPLIT(uint16_t)
        break;
    case 4:
        SPLIT(uint32_t)
        break;
    default:
        SPLIT(uint64_t)
    }
}

static Plane look_at(const uint8_t *bytes, size_t count) {
    uint8_t least = bytes[0], greatest = bytes[0];
    for (size_t i = 0; i < count; i++) {
        least = bytes[i] < least ? bytes[i] : least;
        greatest = bytes[i] > greatest ? bytes[i] : greatest;
    }
    return (Plane){bytes, count, least, greatest - least};
}

static unsigned bits_of(uint8_t span) {
    return span == 0 ? 0 : span < 2 ? 1 : span < 4 ? 2 : span < 16 ? 4 : PLANE_WHOLE;
}

/* Whether bytes nearby are more often equal than by chance, if they had six tenths of their bits. */
static bool is_worth_compressing(const Plane *plane, unsigned bits) {
    size_t stride = plane->count / SAMPLE;
    if (stride < 2 || bits < 4) {
        return false;
    }
    int equal = 0;
    for (size_t i = 0; i < SAMPLE; i++) {
        equal += plane->bytes[i * stride] == plane->bytes[i * stride + stride / 2];
    }
    return equal > (bits == 4 ? MANY_EQUAL_OF_4_BITS : MANY_EQUAL_OF_8_BITS);
}

static void leave_gap(Packing *packing, const Plane *plane, size_t block) {
    Gap gap = {packing->packed.size, block, packing->planes.size, plane->count};
    put(&packing->planes, plane->bytes, plane->count);
    put(&packing->gaps, &gap, sizeof gap);
}

/* Puts several bytes, which fit into 1, 2 or 4 bits, into one. */
static uint8_t narrow(const uint8_t *bytes, size_t count, uint8_t least, unsigned bits) {
    uint8_t joined = 0;
    for (size_t i = 0; i < count; i++) {
        joined |= (uint8_t)((uint8_t)(bytes[i] - least) << i * bits);
    }
    return joined;
}

#define NARROW_ALL(bits)                                                                                               \
    for (size_t i = 0; i < whole; i++) {                                                                               \
        packed[i] = narrow(plane->bytes + i * (8 / bits), 8 / bits, plane->least, bits);                               \
    }

static void put_narrow(Bytes *bytes, const Plane *plane, unsigned bits) {
    size_t share = 8 / bits, whole = plane->count / share, rest = plane->count % share;
    uint8_t *packed = extend(bytes, whole + (rest > 0));
    if (packed == NULL) {
        return;
    }
    switch (bits) {
    case 1:
        NARROW_ALL(1)
        break;
    case 2:
        NARROW_ALL(2)
        break;
    default:
        NARROW_ALL(4)
    }
    if (rest > 0) {
        packed[whole] = narrow(plane->bytes + whole * share, rest, plane->least, bits);
    }
}

static void pack_plane(Packing *packing, const uint8_t *bytes, size_t count, size_t block) {
    Plane plane = look_at(bytes, count);
    unsigned bits = bits_of(plane.span);
    bool compressed = is_worth_compressing(&plane, bits);
    put_u8(&packing->packed, compressed || bits == PLANE_WHOLE ? 0 : plane.least);
    put_u8(&packing->packed, compressed ? PLANE_COMPRESSED : (uint8_t)bits);
    if (compressed) {
        leave_gap(packing, &plane, block);
    } else if (bits == PLANE_WHOLE) {
        put(&packing->packed, bytes, count);
    } else if (bits > 0) {
        put_narrow(&packing->packed, &plane, bits);
    }
}

static void put_head(Bytes *bytes, size_t form, size_t size) {
    put_u8(bytes, (uint8_t)form);
    put_u32(bytes, (uint32_t)size); /* as stored; of planes known only when they are packed */
    put_u32(bytes, (uint32_t)size);
}

WIDE void pack_block(Packing *packing, const void *elements, size_t count, size_t width, uint8_t *planes) {
    Bytes *packed = &packing->packed;
    size_t size = count * width, block = packed->size;
    if (size < WORTH_BYTES) {
        put_head(packed, BLOCK_RAW, size);
        put(packed, elements, size);
        return;
    }
    put_head(packed, BLOCK_PLANES | width << 4, size);
    split_planes(elements, count, width, planes);
    for (size_t place = 0; place < width; place++) {
        pack_plane(packing, planes + place * count, count, block);
    }
    if (!packed->failed) {
        uint32_t stored = (uint32_t)(packed->size - block - BLOCK_HEAD_BYTES);
        memcpy(packed->data + block + BLOCK_STORED_PLACE, &stored, sizeof stored);
    }
}
