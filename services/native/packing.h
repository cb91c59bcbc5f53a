/* Encodes curves; what is made of them is the same as by the Python modules named beside each function. */

#ifndef RUNSTREAM_PACKING_H
#define RUNSTREAM_PACKING_H

#include "bytes.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "what is stored is little-endian, and so must be this processor"
#endif

/* What is compiled twice where that can be; a processor with wide registers takes the variant that uses them. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define WIDE __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef WIDE
#define WIDE
#endif

/* Steps, times and values of one curve, and room to work in: as many numbers of 64 bits each. */
typedef struct {
    int64_t *steps, *times;
    double *values;
    uint64_t *numbers;
    uint8_t *planes;
    size_t count;
} Curve;

/* Where the compressed bytes of a plane go, and their number before them. */
typedef struct {
    size_t place; /* in the packed bytes */
    size_t block; /* in the packed bytes: the head of the block that the plane is in */
    size_t plane; /* in the planes */
    size_t size;
} Gap;

/* What was made of curves, but for what zstd has still to compress. */
typedef struct {
    Bytes packed;    /* chunks one after the other, without checksums */
    Bytes planes;    /* what the gaps are for */
    Bytes gaps;      /* a `Gap` each */
    Bytes overviews; /* tables one after the other */
} Packing;

enum { BLOCK_RAW = 0, BLOCK_ZSTD = 1, BLOCK_PLANES = 3 };
enum { BLOCK_HEAD_BYTES = 9, BLOCK_STORED_PLACE = 1 };

/* Sorts the bytes of elements by their place: the first ones of all, then the second ones of all, and so on. */
void split_planes(const void *elements, size_t count, size_t width, uint8_t *planes);

/* A block of 1 or more elements of 1, 2, 4 or 8 bytes; as `compression.pack_rows`. */
void pack_block(Packing *packing, const void *elements, size_t count, size_t width, uint8_t *planes);

/* As `metrics.columns.pack_integer_rows`. */
void pack_integers(Packing *packing, const int64_t *values, const Curve *curve);

/* As `metrics.columns.pack_double_rows`. */
void pack_doubles(Packing *packing, const Curve *curve);

enum { OVERVIEW_WORTH_POINTS = 2048, OVERVIEW_BUCKET_POINTS = 128, OVERVIEW_COLUMNS = 11 };

/* The least and the greatest number of a curve; NaN if it has none. */
typedef struct {
    double least, greatest;
} Range;

Range range_of(const double *values, size_t count);

/* The table of an overview, as `metrics.overview_format.chunk_overview` packs it; returns the range of the curve. */
Range pack_overview(Packing *packing, const Curve *curve);

/* Has to be called once, before the first checksum. */
void make_checksum_tables(void);

/* As `zlib.crc32`. */
uint32_t checksum_of(const uint8_t *data, size_t size);

#endif
