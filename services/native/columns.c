/* Columns of numbers; see metrics/columns.py. */

#include "packing.h"

#include <string.h>

enum { LINEAR = 1, OFFSETS_8, OFFSETS_16, OFFSETS_32, OFFSETS_64 };
enum { FLOAT32 = 1, FLOAT64 = 2 };
enum { WORTH_NARROWING = 16 };

/* The least and the greatest difference of neighbours; differences wrap around. */
typedef struct {
    int64_t least, greatest;
} Strides;

static Strides strides_of(const uint64_t *values, size_t count) {
    if (count < 2) {
        return (Strides){0, 0};
    }
    int64_t first = (int64_t)(values[1] - values[0]);
    Strides strides = {first, first};
    for (size_t i = 2; i < count; i++) {
        int64_t stride = (int64_t)(values[i] - values[i - 1]);
        strides.least = stride < strides.least ? stride : strides.least;
        strides.greatest = stride > strides.greatest ? stride : strides.greatest;
    }
    return strides;
}

static uint8_t form_for(uint64_t span) {
    return span == 0 ? LINEAR
         : span <= UINT8_MAX ? OFFSETS_8
         : span <= UINT16_MAX ? OFFSETS_16
         : span <= UINT32_MAX ? OFFSETS_32
                              : OFFSETS_64;
}

#define NARROW(type)                                                                                                   \
    for (size_t i = 1; i < curve->count; i++) {                                                                        \
        ((type *)curve->numbers)[i - 1] = (type)(numbers[i] - numbers[i - 1] - least);                                 \
    }

WIDE void pack_integers(Packing *packing, const int64_t *values, const Curve *curve) {
    const uint64_t *numbers = (const uint64_t *)values;
    Strides strides = strides_of(numbers, curve->count);
    uint64_t least = (uint64_t)strides.least;
    uint8_t form = form_for((uint64_t)strides.greatest - least);
    put_u8(&packing->packed, form);
    put_i64(&packing->packed, values[0]);
    put_i64(&packing->packed, strides.least);
    switch (form) {
    case LINEAR:
        return;
    case OFFSETS_8:
        NARROW(uint8_t)
        break;
    case OFFSETS_16:
        NARROW(uint16_t)
        break;
    case OFFSETS_32:
        NARROW(uint32_t)
        break;
    default:
        NARROW(uint64_t)
    }
    pack_block(packing, curve->numbers, curve->count - 1, (size_t)1 << (form - OFFSETS_8), curve->planes);
}

/* Whether all numbers are single-precision ones, to the last bit; notes them in `singles` as such. */
static bool are_single(const double *values, size_t count, float *singles) {
    uint64_t difference = 0;
    for (size_t i = 0; i < count; i++) {
        float single = (float)values[i];
        double again = (double)single;
        uint64_t before, after;
        memcpy(&before, &values[i], sizeof before);
        memcpy(&after, &again, sizeof after);
        difference |= before ^ after;
        singles[i] = single;
    }
    return difference == 0;
}

WIDE void pack_doubles(Packing *packing, const Curve *curve) {
    if (curve->count >= WORTH_NARROWING && are_single(curve->values, curve->count, (float *)curve->numbers)) {
        put_u8(&packing->packed, FLOAT32);
        pack_block(packing, curve->numbers, curve->count, sizeof(float), curve->planes);
    } else {
        put_u8(&packing->packed, FLOAT64);
        pack_block(packing, curve->values, curve->count, sizeof(double), curve->planes);
    }
}
