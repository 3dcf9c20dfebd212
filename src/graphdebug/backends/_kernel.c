/* Looking at the elements of a tensor in one pass over its memory, and writing what was found as the log has it.
 *
 * Plain C against Python's stable ABI, linked against no framework: an element type is a number, memory is
 * an address and a length. A block of elements that fits the first cache is tested for NaN and Inf by its bits;
 * a finite block then gives its count of zeros, extremes, mean and squared deviations from that mean.
 * Blocks are merged by the formula of Chan, Golub and LeVeque (1979), which loses no digits where the mean is
 * much larger than the deviation.
 */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 2048
#define RELEASE_GIL_FROM 65536

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__)
#define FAST __attribute__((optimize("O3", "fast-math"), target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define BITS __attribute__((optimize("O3"), target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FAST
#define BITS
#endif

enum { F32, F64, BF16, F16, I64, I32, I16, I8, U8, BOOLEAN, U16, U32, U64 };
static const int SIZES[] = {4, 8, 2, 2, 8, 4, 2, 1, 1, 1, 2, 4, 8};

typedef struct {
    int64_t nan, positive, negative, zero, finite;
    double min, max, mean, squares; /* squares: sum of squared deviations from the mean */
} Summary;

/* Whether any element has an exponent of all ones, which is what NaN and the infinities have. */
BITS static int odd32(const uint32_t *bits, int64_t n) {
    uint32_t found = 0;
    for (int64_t i = 0; i < n; i++) found |= (bits[i] & 0x7f800000u) == 0x7f800000u;
    return found != 0;
}

BITS static int odd64(const uint64_t *bits, int64_t n) {
    uint64_t found = 0;
    for (int64_t i = 0; i < n; i++) found |= (bits[i] & 0x7ff0000000000000u) == 0x7ff0000000000000u;
    return found != 0;
}

BITS static int odd16(const uint16_t *bits, int64_t n, uint16_t exponent) {
    uint16_t found = 0;
    for (int64_t i = 0; i < n; i++) found |= (uint16_t)((bits[i] & exponent) == exponent);
    return found != 0;
}

static int odd(const char *data, int64_t n, int type) {
    switch (type) {
    case F32: return odd32((const uint32_t *)data, n);
    case F64: return odd64((const uint64_t *)data, n);
    case BF16: return odd16((const uint16_t *)data, n, 0x7f80u);
    case F16: return odd16((const uint16_t *)data, n, 0x7c00u);
    default: return 0;
    }
}

/* A half's exponent and fraction, moved to a float's place, are the value times 2^-112: no branch for subnormals. */
static inline float half_to_float(uint16_t half) {
    uint32_t bits = (uint32_t)(half & 0x7fffu) << 13, sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t special = (half & 0x7c00u) == 0x7c00u ? 0x7f800000u | (bits & 0x7fffffu) : 0;
    float value;
    memcpy(&value, &bits, 4);
    value *= 5.192296858534828e33f; /* 2^112 */
    memcpy(&bits, &value, 4);
    bits = (special ? special : bits) | sign;
    memcpy(&value, &bits, 4);
    return value;
}

BITS static void widen_f16(const uint16_t *from, float *to, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = half_to_float(from[i]);
}

BITS static void widen_bf16(const uint16_t *from, float *to, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)from[i] << 16;
        memcpy(&to[i], &bits, 4);
    }
}

#define WIDEN(name, type) \
    BITS static void name(const type *from, double *to, int64_t n) { \
        for (int64_t i = 0; i < n; i++) to[i] = (double)from[i]; \
    }
WIDEN(widen_i64, int64_t)
WIDEN(widen_i32, int32_t)
WIDEN(widen_i16, int16_t)
WIDEN(widen_i8, int8_t)
WIDEN(widen_u8, uint8_t)
WIDEN(widen_u16, uint16_t)
WIDEN(widen_u32, uint32_t)
WIDEN(widen_u64, uint64_t)

static void widen_whole(const char *from, double *to, int64_t n, int type) {
    switch (type) {
    case I64: widen_i64((const int64_t *)from, to, n); return;
    case I32: widen_i32((const int32_t *)from, to, n); return;
    case I16: widen_i16((const int16_t *)from, to, n); return;
    case I8: widen_i8((const int8_t *)from, to, n); return;
    case U16: widen_u16((const uint16_t *)from, to, n); return;
    case U32: widen_u32((const uint32_t *)from, to, n); return;
    case U64: widen_u64((const uint64_t *)from, to, n); return;
    default: widen_u8((const uint8_t *)from, to, n);
    }
}

/* The summary of n floats; returns 0 (and leaves garbage) if one of them is not finite.
 * Sums over a block are taken in float, in many lanes, of differences from the first element; where squares of
 * the block's range would leave the range of float, in double. */
FAST static int sum32(const float *x, int64_t n, Summary *out) {
    float low = x[0], high = x[0], offset = x[0], sum = 0;
    uint32_t odd = 0;
    int32_t zero = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        odd |= (bits & 0x7f800000u) == 0x7f800000u;
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        zero += x[i] == 0;
        sum += x[i] - offset;
    }
    if (odd) return 0;
    double range = (double)high - (double)low, mean = (double)offset + (double)sum / (double)n, squares = 0;
    if (range > 1e-15 && range < 1e15) {
        float center = (float)mean, some = 0;
        for (int64_t i = 0; i < n; i++) some += (x[i] - center) * (x[i] - center);
        squares = (double)some - (double)n * (mean - (double)center) * (mean - (double)center);
        if (squares < 0) squares = 0;
    } else if (range > 0) {
        double exact = 0;
        for (int64_t i = 0; i < n; i++) exact += (double)x[i] - (double)offset;
        mean = (double)offset + exact / (double)n;
        for (int64_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    } else {
        mean = low;
    }
    out->zero = zero, out->finite = n, out->min = low, out->max = high, out->mean = mean, out->squares = squares;
    return 1;
}

FAST static void sum64(const double *x, int64_t n, Summary *out) {
    double low = x[0], high = x[0], offset = x[0], sum = 0, squares = 0;
    int64_t zero = 0;
    for (int64_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        zero += x[i] == 0;
        sum += x[i] - offset;
    }
    double mean = offset + sum / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double away = x[i] - mean;
        squares += away * away;
    }
    out->zero = zero, out->finite = n, out->min = low, out->max = high, out->mean = mean, out->squares = squares;
}

/* One element of a floating type widened to double. */
static double element(const char *data, int64_t i, int type) {
    switch (type) {
    case F32: return ((const float *)data)[i];
    case F64: return ((const double *)data)[i];
    case BF16: {
        float value;
        widen_bf16((const uint16_t *)data + i, &value, 1);
        return value;
    }
    default: return half_to_float(((const uint16_t *)data)[i]);
    }
}

static void merge(Summary *all, const Summary *block) {
    double n = (double)all->finite, m = (double)block->finite, gap = block->mean - all->mean;
    all->nan += block->nan, all->positive += block->positive, all->negative += block->negative;
    all->zero += block->zero;
    if (block->finite == 0) return;
    if (all->finite == 0 || block->min < all->min) all->min = block->min;
    if (all->finite == 0 || block->max > all->max) all->max = block->max;
    all->squares += block->squares + gap * gap * n * m / (n + m);
    all->mean += gap * m / (n + m);
    all->finite += block->finite;
}

/* A block with NaN or Inf in it: count those, keep the finite elements in `kept`. */
static void sift(const char *data, int64_t n, int type, Summary *block, double *kept) {
    int64_t finite = 0;
    for (int64_t i = 0; i < n; i++) {
        double value = element(data, i, type);
        if (isnan(value)) block->nan++;
        else if (isinf(value)) value > 0 ? block->positive++ : block->negative++;
        else kept[finite++] = value;
    }
    if (finite) sum64(kept, finite, block);
}

static void summarize(const char *data, int64_t n, int type, Summary *all) {
    double wide[BLOCK];
    float narrow[BLOCK];
    for (int64_t start = 0; start < n; start += BLOCK) {
        int64_t count = n - start < BLOCK ? n - start : BLOCK;
        const char *here = data + start * SIZES[type];
        const float *floats = narrow;
        int summed = 0;
        Summary block = {0};
        if (type == F32 || type == BF16 || type == F16) {
            if (type == F32) floats = (const float *)here;
            else if (type == BF16) widen_bf16((const uint16_t *)here, narrow, count);
            else widen_f16((const uint16_t *)here, narrow, count);
            summed = sum32(floats, count, &block);
        } else if (!odd(here, count, type)) {
            const double *doubles = wide;
            if (type == F64) doubles = (const double *)here;
            else widen_whole(here, wide, count, type);
            sum64(doubles, count, &block);
            summed = 1;
        }
        if (!summed) {
            memset(&block, 0, sizeof block);
            sift(here, count, type, &block, wide);
        }
        merge(all, &block);
    }
}

static int all_finite(const char *data, int64_t n, int type) {
    for (int64_t start = 0; start < n; start += 16 * BLOCK) {
        int64_t count = n - start < 16 * BLOCK ? n - start : 16 * BLOCK;
        if (odd(data + start * SIZES[type], count, type)) return 0;
    }
    return 1;
}

/* The same two, with other Python threads running meanwhile where it takes long. */
static void summarize_aside(const char *data, int64_t n, int type, Summary *all) {
    if (n < RELEASE_GIL_FROM) {
        summarize(data, n, type, all);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    summarize(data, n, type, all);
    Py_END_ALLOW_THREADS
}

static int all_finite_aside(const char *data, int64_t n, int type) {
    int answer;
    if (n < RELEASE_GIL_FROM) return all_finite(data, n, type);
    Py_BEGIN_ALLOW_THREADS
    answer = all_finite(data, n, type);
    Py_END_ALLOW_THREADS
    return answer;
}

static int parse(PyObject *args, const char **data, int64_t *n, int *type) {
    long long address, count;
    if (!PyArg_ParseTuple(args, "LLi", &address, &count, type)) return 0;
    if (*type < F32 || *type > U64 || count < 0 || (address == 0 && count > 0)) {
        PyErr_SetString(PyExc_ValueError, "expected an address, a number of elements and an element type");
        return 0;
    }
    *data = (const char *)(intptr_t)address;
    *n = count;
    return 1;
}

static PyObject *kernel_finite(PyObject *self, PyObject *args) {
    const char *data;
    int64_t n;
    int type;
    (void)self;
    if (!parse(args, &data, &n, &type)) return NULL;
    return PyBool_FromLong(all_finite_aside(data, n, type));
}

static PyObject *kernel_summary(PyObject *self, PyObject *args) {
    const char *data;
    int64_t n;
    int type;
    Summary all = {0};
    (void)self;
    if (!parse(args, &data, &n, &type)) return NULL;
    summarize_aside(data, n, type, &all);
    double count = all.finite ? (double)all.finite : 1;
    double l2 = hypot(sqrt(all.squares), sqrt(count) * all.mean);
    return Py_BuildValue("(LLLLLddddd)", (long long)all.nan, (long long)all.positive, (long long)all.negative,
                         (long long)all.zero, (long long)all.finite, all.min, all.max, all.mean,
                         sqrt(all.squares / count), l2);
}

/* Whether a buffer holds several tensors, end to end, and maybe more elements; counts are int64, one a tensor. */
static int fits(const Py_buffer *data, const Py_buffer *counts, int type) {
    int64_t total = 0;
    if (type < F32 || type > U64 || counts->len % 8) {
        PyErr_SetString(PyExc_ValueError, "expected an element type and int64 counts");
        return 0;
    }
    for (int64_t i = 0; i < counts->len / 8; i++) {
        int64_t count = ((const int64_t *)counts->buf)[i];
        total = count < 0 || count > data->len / SIZES[type] ? -1 : total + count;
        if (total < 0) break;
    }
    if (total < 0 || total * SIZES[type] > data->len || data->len % SIZES[type]) {
        PyErr_SetString(PyExc_ValueError, "the counts do not fit the buffer");
        return 0;
    }
    return 1;
}

static char *put(char *at, const char *text, size_t length) {
    memcpy(at, text, length);
    return at + length;
}

static char *put_integer(char *at, long long value) {
    char digits[24];
    int length = 0;
    unsigned long long rest = value < 0 ? 0ULL - (unsigned long long)value : (unsigned long long)value;
    do digits[length++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0) *at++ = '-';
    while (length) *at++ = digits[--length];
    return at;
}

/* Nine significant digits: as many as a float32 has, and ten times faster to write than all a double has. */
static char *put_nine(char *at, const char *key, double value) {
    char digits[24];
    int places = 9;
    at = put(at, key, strlen(key));
    if (signbit(value)) *at++ = '-';
    value = fabs(value);
    if (value == 0) return put(at, "0.0", 3);
    int exponent = (int)floor(log10(value));
    double scaled = value * pow(10, 8 - exponent);
    if (scaled < 1e8) exponent--, scaled *= 10;
    unsigned long long rounded = (unsigned long long)(scaled + 0.5);
    if (rounded >= 1000000000ULL) exponent++, rounded /= 10;
    while (rounded % 10 == 0) rounded /= 10, places--;
    for (int i = places; i > 0; rounded /= 10) digits[--i] = (char)('0' + rounded % 10);
    if (exponent < -4 || exponent > 14) {
        *at++ = digits[0];
        *at++ = '.';
        at = places > 1 ? put(at, digits + 1, places - 1) : put(at, "0", 1);
        *at++ = 'e';
        return put_integer(at, exponent);
    }
    if (exponent < 0) {
        at = put(at, "0.000", 1 - exponent);
        return put(at, digits, places);
    }
    for (int i = 0; i <= exponent || i < places; i++) {
        if (i == exponent + 1) *at++ = '.';
        *at++ = i < places ? digits[i] : '0';
    }
    return places > exponent + 1 ? at : put(at, ".0", 2);
}

static char *put_float(char *at, const char *key, double value) {
    char *text = PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (text == NULL) return NULL;
    at = put(at, key, strlen(key));
    at = put(at, text, strlen(text));
    PyMem_Free(text);
    return at;
}

/* The JSON of the statistics of a finite tensor, as the log has it. */
static PyObject *stats_text(const Summary *all, int type) {
    char *(*put_number)(char *, const char *, double) = type == F32 || type == BF16 || type == F16 ? put_nine : put_float;
    char text[256], *at = put(text, "{", 1);
    double count = (double)all->finite;
    if (all->zero) {
        at = put(at, "\"zero\":", 7);
        at = put_integer(at, all->zero);
        at = put(at, ",", 1);
    }
    if (!(at = put_number(at, "\"min\":", all->min))) return NULL;
    if (!(at = put_number(at, ",\"max\":", all->max))) return NULL;
    if (!(at = put_number(at, ",\"mean\":", all->mean))) return NULL;
    if (!(at = put_number(at, ",\"std\":", sqrt(all->squares / count)))) return NULL;
    if (!(at = put_number(at, ",\"l2\":", hypot(sqrt(all->squares), sqrt(count) * all->mean)))) return NULL;
    at = put(at, "}", 1);
    return PyBytes_FromStringAndSize(text, at - text);
}

/* The same of elements in memory; NULL without an error where they are not finite, or none. */
static PyObject *look_text(const char *data, int64_t n, int type) {
    Summary all = {0};
    summarize_aside(data, n, type, &all);
    int finite = !all.nan && !all.positive && !all.negative && isfinite(hypot(sqrt(all.squares), all.mean * (double)n));
    return n && finite ? stats_text(&all, type) : NULL;
}

static PyObject *texts_of(const Py_buffer *data, const Py_buffer *counts, int type) {
    const char *here = data->buf;
    Py_ssize_t several = counts->len / 8;
    PyObject *texts = PyList_New(several);
    for (Py_ssize_t i = 0; texts != NULL && i < several; i++) {
        int64_t count = ((const int64_t *)counts->buf)[i];
        PyObject *text = count ? look_text(here, count, type) : PyBytes_FromStringAndSize("{}", 2);
        here += count * SIZES[type];
        if (text == NULL || PyList_SetItem(texts, i, text) < 0) {
            Py_DECREF(texts);
            if (PyErr_Occurred()) return NULL;
            Py_RETURN_NONE;
        }
    }
    int64_t rest = ((const char *)data->buf + data->len - here) / SIZES[type];
    if (texts != NULL && rest && !all_finite_aside(here, rest, type)) {
        Py_DECREF(texts);
        Py_RETURN_NONE;
    }
    return texts;
}

static PyObject *kernel_stats_texts(PyObject *self, PyObject *args) {
    Py_buffer data, counts;
    int type;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*i", &data, &counts, &type)) return NULL;
    PyObject *texts = fits(&data, &counts, type) ? texts_of(&data, &counts, type) : NULL;
    PyBuffer_Release(&data);
    PyBuffer_Release(&counts);
    return texts;
}

static PyObject *kernel_all_finite(PyObject *self, PyObject *args) {
    Py_buffer data;
    int type, answer;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*i", &data, &type)) return NULL;
    if (type < F32 || type > U64) {
        PyBuffer_Release(&data);
        PyErr_SetString(PyExc_ValueError, "expected an element type");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    answer = all_finite(data.buf, data.len / SIZES[type], type);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    return PyBool_FromLong(answer);
}

static int64_t number_of(PyObject *object, const char *name) {
    PyObject *value = PyObject_GetAttrString(object, name);
    int64_t number = value ? PyLong_AsLongLong(value) : -1;
    Py_XDECREF(value);
    return number;
}

/* A tensor's memory, by its kind; 0 where that can't be read from here. */
static int memory_of(PyObject *tensor, PyObject *kind, const char **data, int64_t *n, int *type) {
    *type = (int)number_of(kind, "code");
    *n = *type < 0 ? 0 : number_of(kind, "numel");
    if (*n <= 0) return 0;
    PyObject *address = PyObject_CallMethod(tensor, "data_ptr", NULL);
    *data = address ? (const char *)PyLong_AsVoidPtr(address) : NULL;
    Py_XDECREF(address);
    return *data != NULL;
}

static PyObject *not_here(void) {
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) return NULL; /* Ctrl-C */
    PyErr_Clear();
    Py_INCREF(Py_NotImplemented);
    return Py_NotImplemented;
}

static PyObject *kernel_health(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    const char *data;
    int64_t n;
    int type;
    (void)self;
    if (nargs != 2 || !memory_of(args[0], args[1], &data, &n, &type) || type > F16 || n == 1) return not_here();
    return all_finite_aside(data, n, type) ? PyBool_FromLong(1) : not_here();
}

/* Statistics as an object of class `made`; NULL without an error where they are not finite. */
static PyObject *look_statistics(PyObject *made, const char *data, int64_t n, int type) {
    Summary all = {0};
    summarize_aside(data, n, type, &all);
    double std = all.finite ? sqrt(all.squares / (double)all.finite) : 0;
    double l2 = hypot(sqrt(all.squares), sqrt((double)all.finite) * all.mean);
    if (all.finite != n || !isfinite(std) || !isfinite(l2)) return NULL;
    return PyObject_CallFunction(made, "LLLLddddd", 0ll, 0ll, 0ll, (long long)all.zero, all.min, all.max, all.mean, std, l2);
}

static PyObject *kernel_stats(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    const char *data;
    int64_t n;
    int type;
    if (nargs != 2 || !memory_of(args[0], args[1], &data, &n, &type)) return not_here();
    PyObject *stats = look_statistics(self, data, n, type);
    return stats || PyErr_Occurred() ? stats : not_here();
}

static PyMethodDef STATS = {"stats", (PyCFunction)(void (*)(void))kernel_stats, METH_FASTCALL,
                            "stats(tensor, kind) -> statistics, or NotImplemented where Python is to look."};

/* stats_into(Stats) -> the function that returns statistics as objects of that class. */
static PyObject *kernel_stats_into(PyObject *self, PyObject *stats) {
    (void)self;
    return PyCFunction_New(&STATS, stats);
}

static PyMethodDef METHODS[] = {
    {"health", (PyCFunction)(void (*)(void))kernel_health, METH_FASTCALL,
     "health(tensor, kind) -> True where all is finite, else NotImplemented: Python is to look."},
    {"stats_into", kernel_stats_into, METH_O, "stats_into(Stats) -> a function stats(tensor, kind) -> Stats."},
    {"finite", kernel_finite, METH_VARARGS,
     "finite(address, count, type) -> bool: whether no element is NaN or infinite."},
    {"summary", kernel_summary, METH_VARARGS,
     "summary(address, count, type) -> (nan, +inf, -inf, zero, finite, min, max, mean, std, l2)."},
    {"all_finite", kernel_all_finite, METH_VARARGS,
     "all_finite(buffer, type) -> bool: whether no element is NaN or infinite."},
    {"stats_texts", kernel_stats_texts, METH_VARARGS,
     "stats_texts(buffer, counts, type) -> a JSON text for each of the first tensors in the buffer; None if an "
     "element of the buffer is not finite."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_kernel", NULL, -1, METHODS, NULL, NULL, NULL, NULL};

/* For other extensions of ours: see _native.h. */
static const struct {
    int (*finite)(const char *, int64_t, int);
    PyObject *(*statistics)(PyObject *, const char *, int64_t, int);
    PyObject *(*text)(const char *, int64_t, int);
} LOOKS = {all_finite_aside, look_statistics, look_text};

PyMODINIT_FUNC PyInit__kernel(void) {
    PyObject *module = PyModule_Create(&MODULE);
    PyObject *looks = module ? PyCapsule_New((void *)&LOOKS, "graphdebug.backends._kernel.looks", NULL) : NULL;
    if (looks && PyModule_AddObject(module, "looks", looks) == 0) return module;
    Py_XDECREF(looks);
    Py_XDECREF(module);
    return NULL;
}
