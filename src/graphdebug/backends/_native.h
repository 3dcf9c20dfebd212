/* What the compiled recorders of the frameworks share: tables, the stack, lines being written. Plain C against Python's
 * stable ABI; each extension compiles _table.c, _walker.c and _text.c into itself. */
#ifndef GRAPHDEBUG_NATIVE_H
#define GRAPHDEBUG_NATIVE_H
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GNUC__
#pragma GCC visibility push(hidden) /* names of one extension are none of another's */
#endif

/* The words that all use, as strings of Python's. */
#define FOR_SHARED_WORDS(DO)                                                                                            \
    DO(F_BACK, "f_back") DO(F_LASTI, "f_lasti") DO(F_LOCALS, "f_locals") DO(SELF, "self") DO(CLASSIFY, "classify")       \
    DO(MAKE, "place_at") DO(FORWARD, "forward") DO(BACKWARD, "backward") DO(OPTIMIZER, "optimizer") DO(NO_TEXT, "")      \
    DO(RECORDING, "recording") DO(RUNNING_PHASE, "phase") DO(RUNNING_STEP, "step")
#define DECLARE(word, text) extern PyObject *word;
#define DEFINE(word, text) PyObject *word;
#define MAKE_WORD(word, text) \
    if (!word && !(word = PyUnicode_InternFromString(text))) return -1;
FOR_SHARED_WORDS(DECLARE)
int make_shared_words(void);

int equal(PyObject *one, PyObject *other);
int raise_type(const char *text);
/* Forget an error that Python is to meet again. Returns 0, keeping it, for one that ends the program: what is called here
 * may run Python, where Ctrl-C arrives. */
int forgotten(void);
/* What deallocates an instance of any type of ours. */
void freed(PyObject *self);
/* The same object, with one reference more; of NULL NULL. */
PyObject *kept(PyObject *object);
/* The same object, which forms no cycles: the garbage collector need not visit it, nor be called more often for it. */
PyObject *untracked(PyObject *object);
/* An object's attributes: asking the dict is several times faster than asking the object. */
PyObject *attributes_of(PyObject *object);
/* Whether the attribute is true; -1 where there is none. */
int is_true(PyObject *attributes, PyObject *name);
int add_type(PyObject *module, PyType_Spec *spec, const char *name);

/* A table from keys of some words to an object. Words that are addresses of objects are kept alive by it. */
typedef struct {
    uint64_t hash; /* 0 in a free place */
    Py_ssize_t length;
    uint64_t *words;
    PyObject *value;
    PyObject *held; /* a tuple of what must live as long as the entry, or NULL */
} Entry;

typedef struct {
    Entry *entries;
    size_t size, used, most;
} Table;

uint64_t hash_of(const uint64_t *words, Py_ssize_t length);
/* The entry of a key, or the free place for it; NULL if the table has no places. */
Entry *table_find(Table *table, uint64_t hash, const uint64_t *words, Py_ssize_t length);
/* The value of a key (borrowed), NULL without an error where there is none. */
PyObject *table_get(Table *table, const uint64_t *words, Py_ssize_t length);
/* Put a value in, forgetting all others where the table is full. Takes over `value` and `held`, also on failure. */
int table_put(Table *table, const uint64_t *words, Py_ssize_t length, PyObject *value, PyObject *held);
void table_clear(Table *table);
int table_visit(Table *table, visitproc visit, void *arg);

/* Read the stack from `frame` on: the place and the running module or None (new references), and whether a checkpoint is on
 * it. Returns 0 where a frame has to be read in Python, -1 at an error. */
int walk(PyObject *walker, PyObject *frame, PyObject *reader, PyObject **place, PyObject **module, int *checkpointed);
/* The place of the innermost frame of the user's at or above `frame`, of a library's where there is none (a new reference).
 * NULL without an error where a frame of the code `boundary` comes first: it is then left in `reached`. */
PyObject *innermost(PyObject *walker, PyObject *frame, PyObject *reader, PyObject *boundary, PyObject **reached);
extern PyType_Spec WALKER_TYPE;

/* Lines that are being written. */
typedef struct {
    char *text;
    size_t length, room;
} Text;

int append(Text *to, const char *text, size_t length);
int append_bytes(Text *to, PyObject *bytes);
int append_int(Text *to, PyObject *number);
int append_seconds(Text *to, double seconds);

/* A stencil: a line with zero bytes for holes, and how far it has been written. */
typedef struct {
    const char *at, *end;
} Pen;

int pen_on(Pen *pen, PyObject *stencil);
/* Write the text of the stencil up to the next hole, or to its end. */
int piece(Text *to, Pen *pen);
int number_after(Text *to, Pen *pen, PyObject *number);

/* The kernel's functions (_kernel.c), in a capsule of this name. */
#define LOOKS "graphdebug.backends._kernel.looks"
typedef struct {
    int (*finite)(const char *data, int64_t count, int type);
    /* These two return NULL without an error where there are elements that are not finite. */
    PyObject *(*statistics)(PyObject *made, const char *data, int64_t count, int type);
    PyObject *(*text)(const char *data, int64_t count, int type);
} Looks;
#endif
