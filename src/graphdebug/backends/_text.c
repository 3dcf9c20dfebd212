/* Lines being written: text that grows, and stencils that are filled into it. */
#include "_native.h"

int append(Text *to, const char *text, size_t length) {
    if (to->length + length > to->room) {
        size_t room = 2 * (to->length + length) + 65536;
        char *grown = realloc(to->text, room);
        if (!grown) {
            PyErr_NoMemory();
            return -1;
        }
        to->text = grown;
        to->room = room;
    }
    memcpy(to->text + to->length, text, length);
    to->length += length;
    return 0;
}

int append_bytes(Text *to, PyObject *bytes) {
    char *text;
    Py_ssize_t length;
    if (!bytes || PyBytes_AsStringAndSize(bytes, &text, &length) < 0) return -1;
    return append(to, text, (size_t)length);
}

int append_int(Text *to, PyObject *number) {
    char digits[24];
    long long value = PyLong_AsLongLong(number);
    if (value == -1 && PyErr_Occurred()) return -1;
    char *end = digits + sizeof digits, *start = end;
    unsigned long long rest = value < 0 ? 0ull - (unsigned long long)value : (unsigned long long)value;
    do *--start = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0) *--start = '-';
    return append(to, start, (size_t)(end - start));
}

/* Seconds, to the nanosecond that the clock counts. */
int append_seconds(Text *to, double seconds) {
    char digits[32];
    long long nanos = llround(fabs(seconds) * 1e9);
    char *end = digits + sizeof digits, *start = end;
    for (int i = 0; i < 9; i++, nanos /= 10) *--start = (char)('0' + nanos % 10);
    *--start = '.';
    do *--start = (char)('0' + nanos % 10);
    while (nanos /= 10);
    if (seconds < 0) *--start = '-';
    return append(to, start, (size_t)(end - start));
}

int pen_on(Pen *pen, PyObject *stencil) {
    char *text;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(stencil, &text, &length) < 0) return -1;
    *pen = (Pen){text, text + length};
    return 0;
}

int piece(Text *to, Pen *pen) {
    const char *start = pen->at, *hole = memchr(start, 0, (size_t)(pen->end - start));
    const char *stop = hole ? hole : pen->end;
    pen->at = hole ? hole + 1 : pen->end;
    return append(to, start, (size_t)(stop - start));
}

int number_after(Text *to, Pen *pen, PyObject *number) { return piece(to, pen) < 0 ? -1 : append_int(to, number); }
