/* Encodes many curves at once; see metrics/chunks.py and metrics/overview_format.py.

First all is packed, then Python compresses what is worth it, then that is put into the gaps. The interpreter is given
up for the first and the last of these. */

#include "curves.h"

#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "packing.h"

enum { CHUNK_FORMAT = 3, OVERVIEW_FORMAT = 1, CHECKSUM_BYTES = 4, KIND_DOUBLE = 1 };
enum { OVERVIEW_HEAD_BYTES = 1 + 4 + 1 + BLOCK_HEAD_BYTES };
enum { STEPS, TIMES, VALUES, COLUMNS };
enum { MANY_POINTS = 4096 };

/* What was made of one curve. */
typedef struct {
    Py_buffer columns[COLUMNS];
    size_t count;
    size_t chunk_end, gap_end, overview_end; /* in what was packed; the curve before says where it begins */
    double last;
    Range range;
    int64_t first_time;
    PyObject *chunk, *overview;
    uint8_t *chunk_bytes, *overview_bytes;
} Encoded;

typedef struct {
    Encoded *curves; /* an empty one before the first */
    size_t count, points, most;
    Packing packing;
    Frames planes, overviews;
} Encoding;

static bool open_columns(Encoded *encoded, PyObject *columns) {
    for (int column = 0; column < COLUMNS; column++) {
        PyObject *numbers = PySequence_GetItem(columns, column);
        int result = numbers == NULL ? -1 : PyObject_GetBuffer(numbers, &encoded->columns[column], PyBUF_SIMPLE);
        Py_XDECREF(numbers);
        if (result < 0) {
            return false;
        }
    }
    const Py_buffer *opened = encoded->columns;
    Py_ssize_t size = opened[VALUES].len;
    if (size <= 0 || size % sizeof(double) || opened[STEPS].len != size || opened[TIMES].len != size) {
        PyErr_SetString(PyExc_ValueError, "a curve has equally many steps, times and values, and at least one");
        return false;
    }
    encoded->count = (size_t)size / sizeof(double);
    return true;
}

static bool open_curves(Encoding *encoding, PyObject *curves) {
    Py_ssize_t count = PySequence_Size(curves);
    if (count < 0) {
        return false;
    }
    encoding->curves = calloc((size_t)count + 1, sizeof *encoding->curves);
    if (encoding->curves == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        Encoded *encoded = &encoding->curves[++encoding->count];
        PyObject *columns = PySequence_GetItem(curves, i);
        bool opened = columns != NULL && open_columns(encoded, columns);
        Py_XDECREF(columns);
        if (!opened) {
            return false;
        }
        encoding->points += encoded->count;
        encoding->most = encoded->count > encoding->most ? encoded->count : encoding->most;
    }
    return true;
}

static void pack_chunk(Packing *packing, const Curve *curve) {
    Bytes *packed = &packing->packed;
    put_u8(packed, CHUNK_FORMAT);
    put_u32(packed, (uint32_t)curve->count);
    put_u32(packed, 1); /* segment */
    put_u8(packed, 1);  /* it has steps */
    pack_integers(packing, curve->steps, curve);
    pack_integers(packing, curve->times, curve);
    put_u8(packed, KIND_DOUBLE);
    put_u32(packed, (uint32_t)curve->count);
    pack_doubles(packing, curve);
}

static int64_t least_of(const int64_t *values, size_t count) {
    int64_t least = values[0];
    for (size_t i = 1; i < count; i++) {
        least = values[i] < least ? values[i] : least;
    }
    return least;
}

static void pack_curve(Packing *packing, const Curve *curve, Encoded *encoded) {
    bool has_overview = curve->count >= OVERVIEW_WORTH_POINTS;
    pack_chunk(packing, curve);
    encoded->range = has_overview ? pack_overview(packing, curve) : range_of(curve->values, curve->count);
    encoded->last = curve->values[curve->count - 1];
    encoded->first_time = least_of(curve->times, curve->count);
    encoded->chunk_end = packing->packed.size;
    encoded->gap_end = packing->gaps.size / sizeof(Gap);
    encoded->overview_end = packing->overviews.size;
}

static void pack_curves(Encoding *encoding, Curve room) {
    for (size_t i = 1; i <= encoding->count; i++) {
        Encoded *encoded = &encoding->curves[i];
        size_t size = encoded->count * sizeof(double);
        memcpy(room.steps, encoded->columns[STEPS].buf, size); /* which need not be aligned */
        memcpy(room.times, encoded->columns[TIMES].buf, size);
        memcpy(room.values, encoded->columns[VALUES].buf, size);
        room.count = encoded->count;
        pack_curve(&encoding->packing, &room, encoded);
    }
}

static bool pack_all(Encoding *encoding) {
    size_t most = encoding->most;
    int64_t *memory = malloc((5 * most + 1) * sizeof *memory);
    if (memory == NULL) {
        return false;
    }
    Curve room = {
        .steps = memory,
        .times = memory + most,
        .values = (double *)(memory + 2 * most),
        .numbers = (uint64_t *)(memory + 3 * most),
        .planes = (uint8_t *)(memory + 4 * most),
    };
    pack_curves(encoding, room);
    free(memory);
    const Packing *packing = &encoding->packing;
    return !(packing->packed.failed || packing->planes.failed || packing->gaps.failed || packing->overviews.failed);
}

static PyObject *overview_tables(const Encoding *encoding) {
    PyObject *list = PyList_New(0);
    for (size_t i = 1; list != NULL && i <= encoding->count; i++) {
        size_t begin = encoding->curves[i - 1].overview_end, size = encoding->curves[i].overview_end - begin;
        if (size > 0) {
            list = appended(list, encoding->packing.overviews.data + begin, size);
        }
    }
    return list;
}

static PyObject *planes_of_gaps(const Packing *packing) {
    const Gap *gaps = (const Gap *)packing->gaps.data;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < packing->gaps.size / sizeof(Gap); i++) {
        list = appended(list, packing->planes.data + gaps[i].plane, gaps[i].size);
    }
    return list;
}

static uint8_t *make_bytes(PyObject **bytes, size_t size) {
    *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    return *bytes == NULL ? NULL : (uint8_t *)PyBytes_AsString(*bytes);
}

static const Py_buffer *overview_frame(const Encoding *encoding, size_t *next, size_t i) {
    bool has_overview = encoding->curves[i].overview_end > encoding->curves[i - 1].overview_end;
    return has_overview ? &encoding->overviews.frames[(*next)++] : NULL;
}

/* How many bytes of an overview are stored: not more than there were. */
static size_t stored_size(const Py_buffer *frame, size_t size) {
    return (size_t)frame->len < size ? (size_t)frame->len : size;
}

/* Makes the bytes that what was encoded will fill. */
static bool make_room(Encoding *encoding) {
    size_t gap = 0, overview = 0;
    for (size_t i = 1; i <= encoding->count; i++) {
        Encoded *before = &encoding->curves[i - 1], *encoded = &encoding->curves[i];
        size_t size = encoded->chunk_end - before->chunk_end + CHECKSUM_BYTES;
        for (; gap < encoded->gap_end; gap++) {
            size += sizeof(uint32_t) + (size_t)encoding->planes.frames[gap].len;
        }
        encoded->chunk_bytes = make_bytes(&encoded->chunk, size);
        const Py_buffer *frame = overview_frame(encoding, &overview, i);
        if (frame != NULL) {
            size_t stored = stored_size(frame, encoded->overview_end - before->overview_end);
            encoded->overview_bytes = make_bytes(&encoded->overview, OVERVIEW_HEAD_BYTES + stored + CHECKSUM_BYTES);
        }
        if (encoded->chunk == NULL || (frame != NULL && encoded->overview == NULL)) {
            return false;
        }
    }
    return true;
}

static uint8_t *write_bytes(uint8_t *place, const void *data, size_t size) {
    memcpy(place, data, size);
    return place + size;
}

static uint8_t *write_u32(uint8_t *place, size_t value) {
    uint32_t number = (uint32_t)value;
    return write_bytes(place, &number, sizeof number);
}

static void write_checksum(const uint8_t *begin, uint8_t *end) {
    write_u32(end, checksum_of(begin, (size_t)(end - begin)));
}

/* Counts what goes into a gap to what is stored of its block. */
static void lengthen_block(Bytes *packed, const Gap *gap, size_t frame_size) {
    uint8_t *place = packed->data + gap->block + BLOCK_STORED_PLACE;
    uint32_t stored;
    memcpy(&stored, place, sizeof stored);
    write_u32(place, stored + sizeof(uint32_t) + frame_size);
}

static void write_chunk(Encoding *encoding, size_t i) {
    const Encoded *before = &encoding->curves[i - 1], *encoded = &encoding->curves[i];
    Bytes *packed = &encoding->packing.packed;
    const Gap *gaps = (const Gap *)encoding->packing.gaps.data;
    const Py_buffer *frames = encoding->planes.frames;
    for (size_t gap = before->gap_end; gap < encoded->gap_end; gap++) {
        lengthen_block(packed, &gaps[gap], (size_t)frames[gap].len);
    }
    uint8_t *place = encoded->chunk_bytes;
    size_t written = before->chunk_end;
    for (size_t gap = before->gap_end; gap < encoded->gap_end; gap++) {
        place = write_bytes(place, packed->data + written, gaps[gap].place - written);
        place = write_u32(place, (size_t)frames[gap].len);
        place = write_bytes(place, frames[gap].buf, (size_t)frames[gap].len);
        written = gaps[gap].place;
    }
    place = write_bytes(place, packed->data + written, encoded->chunk_end - written);
    write_checksum(encoded->chunk_bytes, place);
}

static void write_overview(Encoding *encoding, size_t i, const Py_buffer *frame) {
    size_t begin = encoding->curves[i - 1].overview_end, size = encoding->curves[i].overview_end - begin;
    size_t stored = stored_size(frame, size);
    bool raw = stored == size;
    uint8_t *place = encoding->curves[i].overview_bytes;
    *place++ = OVERVIEW_FORMAT;
    place = write_u32(place, size / (OVERVIEW_COLUMNS * sizeof(uint64_t)));
    *place++ = 0; /* steps are not relative */
    *place++ = raw ? BLOCK_RAW : BLOCK_ZSTD;
    place = write_u32(place, stored);
    place = write_u32(place, size);
    place = write_bytes(place, raw ? encoding->packing.overviews.data + begin : frame->buf, stored);
    write_checksum(encoding->curves[i].overview_bytes, place);
}

static void write_all(Encoding *encoding) {
    size_t overview = 0;
    for (size_t i = 1; i <= encoding->count; i++) {
        write_chunk(encoding, i);
        const Py_buffer *frame = overview_frame(encoding, &overview, i);
        if (frame != NULL) {
            write_overview(encoding, i, frame);
        }
    }
}

/* Gives up the interpreter while a step takes long. */
#define WHILE_OTHERS_GO_ON(encoding, step)                                                                             \
    do {                                                                                                               \
        PyThreadState *thread = (encoding)->points < MANY_POINTS ? NULL : PyEval_SaveThread();                         \
        step;                                                                                                          \
        if (thread != NULL) {                                                                                          \
            PyEval_RestoreThread(thread);                                                                              \
        }                                                                                                              \
    } while (0)

static bool encode(Encoding *encoding, PyObject *curves, PyObject *compress) {
    bool packed;
    if (!open_curves(encoding, curves)) {
        return false;
    }
    WHILE_OTHERS_GO_ON(encoding, packed = pack_all(encoding));
    if (!packed) {
        PyErr_NoMemory();
        return false;
    }
    if (!compress_all(&encoding->planes, planes_of_gaps(&encoding->packing), compress, false) ||
        !compress_all(&encoding->overviews, overview_tables(encoding), compress, true) || !make_room(encoding)) {
        return false;
    }
    WHILE_OTHERS_GO_ON(encoding, write_all(encoding));
    return true;
}

static PyObject *result_of(const Encoding *encoding) {
    PyObject *list = PyList_New(0);
    for (size_t i = 1; list != NULL && i <= encoding->count; i++) {
        const Encoded *encoded = &encoding->curves[i];
        PyObject *overview = encoded->overview == NULL ? Py_None : encoded->overview;
        PyObject *item = Py_BuildValue("OOdddL", encoded->chunk, overview, encoded->last, encoded->range.least,
                                       encoded->range.greatest, (long long)encoded->first_time);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

static void free_encoding(Encoding *encoding) {
    for (size_t i = 1; i <= encoding->count; i++) {
        for (int column = 0; column < COLUMNS; column++) {
            PyBuffer_Release(&encoding->curves[i].columns[column]);
        }
        Py_XDECREF(encoding->curves[i].chunk);
        Py_XDECREF(encoding->curves[i].overview);
    }
    free(encoding->curves);
    free_frames(&encoding->planes);
    free_frames(&encoding->overviews);
    free(encoding->packing.packed.data);
    free(encoding->packing.planes.data);
    free(encoding->packing.gaps.data);
    free(encoding->packing.overviews.data);
}

PyObject *encode_curves(PyObject *module, PyObject *arguments) {
    (void)module;
    PyObject *curves, *compress;
    if (!PyArg_ParseTuple(arguments, "OO:encode_curves", &curves, &compress)) {
        return NULL;
    }
    Encoding encoding = {0};
    PyObject *result = encode(&encoding, curves, compress) ? result_of(&encoding) : NULL;
    free_encoding(&encoding);
    return result;
}
