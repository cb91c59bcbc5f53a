/* Reads messages of WriteMetrics that hold nothing but curves. */

#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"

enum { VARINT = 0, LENGTH_DELIMITED = 2, WIRE_TYPE_BITS = 3 };
enum { REQUEST_BATCH = 2 };
enum { BATCH_SEQUENCE = 1, BATCH_SERIES = 2, BATCH_DIGEST = 3 };
enum { SERIES_METRIC = 1, SERIES_STEPS = 2, SERIES_TIMES = 3, SERIES_DOUBLES = 4 };
enum { DOUBLES_VALUES = 1 };
enum { NUMBER_BYTES = 8, COLUMNS = 3 };

#define KEY(field, wire_type) ((field) << WIRE_TYPE_BITS | (wire_type))

/* A part of the message that is still to be read. */
typedef struct {
    const uint8_t *at, *end;
} Part;

/* What the message has of one series. */
typedef struct {
    Part metric, steps, times, values;
} Series;

/* Where the columns of a curve begin in the message, in bytes, and how many numbers each has. */
typedef struct {
    int64_t steps, times, values, count;
} Place;

typedef struct {
    const uint8_t *begin;
    uint64_t sequence;
    Part digest;
    PyObject *metrics;
    Bytes places; /* a `Place` each */
} Batch;

static bool read_varint(Part *part, uint64_t *number) {
    *number = 0;
    for (int shift = 0; shift < 64 && part->at < part->end; shift += 7) {
        uint8_t digit = *part->at++;
        *number |= (uint64_t)(digit & 0x7F) << shift;
        if (digit < 0x80) {
            return shift < 63 || digit < 2;
        }
    }
    return false;
}

static bool read_part(Part *part, Part *inner) {
    uint64_t length;
    if (!read_varint(part, &length) || length > (uint64_t)(part->end - part->at)) {
        return false;
    }
    *inner = (Part){part->at, part->at + length};
    part->at += length;
    return true;
}

/* Reads a column that stands in one piece; one in several pieces, which a client may send, is left to protobuf. */
static bool read_once(Part *part, Part *column) { return column->at == NULL && read_part(part, column); }

static bool read_doubles(Part *part, Part *values) {
    Part message;
    uint64_t key;
    return read_part(part, &message) && read_varint(&message, &key) && key == KEY(DOUBLES_VALUES, LENGTH_DELIMITED) &&
           read_once(&message, values) && message.at == message.end;
}

static bool read_field(Part *part, Series *series) {
    uint64_t key;
    if (!read_varint(part, &key)) {
        return false;
    }
    switch (key) {
    case KEY(SERIES_METRIC, LENGTH_DELIMITED):
        return read_part(part, &series->metric);
    case KEY(SERIES_STEPS, LENGTH_DELIMITED):
        return read_once(part, &series->steps);
    case KEY(SERIES_TIMES, LENGTH_DELIMITED):
        return read_once(part, &series->times);
    case KEY(SERIES_DOUBLES, LENGTH_DELIMITED):
        return read_doubles(part, &series->values);
    default:
        return false;
    }
}

static ptrdiff_t size_of(Part part) { return part.end - part.at; }

/* Whether each value has a step and a time, and there is one. */
static bool is_sound(const Series *series) {
    ptrdiff_t size = size_of(series->values);
    return size > 0 && size % NUMBER_BYTES == 0 && size_of(series->steps) == size && size_of(series->times) == size;
}

static bool add_series(Batch *batch, const Series *series) {
    PyObject *metric = PyUnicode_DecodeUTF8((const char *)series->metric.at, size_of(series->metric), NULL);
    if (metric == NULL) {
        PyErr_Clear(); /* protobuf says what is wrong with it */
        return false;
    }
    Place place = {
        series->steps.at - batch->begin,
        series->times.at - batch->begin,
        series->values.at - batch->begin,
        size_of(series->values) / NUMBER_BYTES,
    };
    put(&batch->places, &place, sizeof place);
    int result = PyList_Append(batch->metrics, metric);
    Py_DECREF(metric);
    return result == 0;
}

static bool read_series(Batch *batch, Part part) {
    Series series = {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}, {NULL, NULL}};
    while (part.at < part.end) {
        if (!read_field(&part, &series)) {
            return false;
        }
    }
    return series.metric.at != NULL && is_sound(&series) && add_series(batch, &series);
}

static bool read_batch_field(Batch *batch, Part *part) {
    uint64_t key;
    Part inner;
    if (!read_varint(part, &key)) {
        return false;
    }
    switch (key) {
    case KEY(BATCH_SEQUENCE, VARINT):
        return read_varint(part, &batch->sequence);
    case KEY(BATCH_SERIES, LENGTH_DELIMITED):
        return read_part(part, &inner) && read_series(batch, inner);
    case KEY(BATCH_DIGEST, LENGTH_DELIMITED):
        return read_part(part, &batch->digest);
    default:
        return false;
    }
}

/* Parts of a batch may stand one after the other in a message. */
static bool read_message(Batch *batch, Part message) {
    while (message.at < message.end) {
        uint64_t key;
        Part part;
        if (!read_varint(&message, &key) || key != KEY(REQUEST_BATCH, LENGTH_DELIMITED)) {
            return false;
        }
        if (!read_part(&message, &part)) {
            return false;
        }
        while (part.at < part.end) {
            if (!read_batch_field(batch, &part)) {
                return false;
            }
        }
    }
    return batch->places.size > 0 && !batch->places.failed;
}

PyObject *read_batch(PyObject *module, PyObject *message) {
    (void)module;
    Py_buffer buffer;
    if (PyObject_GetBuffer(message, &buffer, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    const uint8_t *begin = buffer.buf;
    Batch batch = {.begin = begin, .metrics = PyList_New(0)};
    PyObject *result = NULL;
    batch.digest = (Part){begin, begin};
    if (batch.metrics != NULL && read_message(&batch, (Part){begin, begin + buffer.len})) {
        result = Py_BuildValue("Ly#Oy#", (long long)batch.sequence, batch.digest.at, size_of(batch.digest),
                               batch.metrics, batch.places.data, (Py_ssize_t)batch.places.size);
    } else if (!PyErr_Occurred()) {
        result = Py_NewRef(Py_None);
    }
    Py_XDECREF(batch.metrics);
    free(batch.places.data);
    PyBuffer_Release(&buffer);
    return result;
}

static bool is_within(int64_t begin, int64_t count, Py_ssize_t size) {
    return begin >= 0 && count >= 0 && begin <= size && count <= (size - begin) / NUMBER_BYTES;
}

/* How many numbers a column has in all; -1 if not all of them are in the message. */
static int64_t count_numbers(const Place *places, size_t count, Py_ssize_t size) {
    int64_t numbers = 0;
    for (size_t i = 0; i < count; i++) {
        const Place *place = &places[i];
        if (!is_within(place->steps, place->count, size) || !is_within(place->times, place->count, size) ||
            !is_within(place->values, place->count, size)) {
            return -1;
        }
        numbers += place->count;
    }
    return numbers;
}

static PyObject *gather_columns(const Py_buffer *message, const Place *places, size_t count) {
    int64_t numbers = count_numbers(places, count, message->len);
    if (numbers < 0) {
        PyErr_SetString(PyExc_ValueError, "there is no such place in the message");
        return NULL;
    }
    const uint8_t *data = message->buf;
    Py_ssize_t size = (Py_ssize_t)numbers * NUMBER_BYTES;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, COLUMNS * size);
    if (bytes == NULL) {
        return NULL;
    }
    char *steps = PyBytes_AsString(bytes), *times = steps + size, *values = times + size;
    for (size_t i = 0; i < count; i++) {
        size_t length = (size_t)places[i].count * NUMBER_BYTES;
        memcpy(steps, data + places[i].steps, length);
        memcpy(times, data + places[i].times, length);
        memcpy(values, data + places[i].values, length);
        steps += length;
        times += length;
        values += length;
    }
    return bytes;
}

PyObject *gather(PyObject *module, PyObject *arguments) {
    (void)module;
    Py_buffer message, places;
    if (!PyArg_ParseTuple(arguments, "y*y*:gather", &message, &places)) {
        return NULL;
    }
    PyObject *result = gather_columns(&message, places.buf, (size_t)places.len / sizeof(Place));
    PyBuffer_Release(&message);
    PyBuffer_Release(&places);
    return result;
}
