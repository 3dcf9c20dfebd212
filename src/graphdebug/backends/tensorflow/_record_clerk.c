/* What TensorFlow calls after every eager op, and to compute the gradient of one, in place of eager.py's and tape.py's Python.
 *
 * Python does all of an op that is unusual before anything was changed (`_Ops.seen`), and the parts of a usual one that do not
 * occur at every op: where a tensor seen for the first time came from, what is not finite, the first line of each sort.
 */
#include "_record.h"

enum { OPS, SINK, OBSERVER, LOCALS, STATE, WALKER, READER, MADE, RAN, VARIABLES, GRADIENTS, MADE_TYPE, RAN_TYPE, FACT_TYPE,
       KNOWN_OPS, BACKWARDS, MODULES, NEXT_SEQ, CLOCK, ENCODE, DECODE, TAPE, BACKPROP, CALLBACKS_CODE, GRADIENT_CODE, HELD };

enum { UNSEEN = 1, SLOW = 2, READ = 4, VIEW = 8, ASSIGNS = 16, ASKS = 32, COUNT = 128, CAST = 256 }; /* the traits of an op (ops.py) */

#define TYPES 64 /* TensorFlow's numbers of element types that are looked at are below */
#define AXES 12
enum { SHAPES, HEALTH, STATISTICS }; /* levels */
enum { LOOK = 1, WHOLE, ANY }; /* how a tensor is looked at: as the level says, measured if of whole numbers, or in any case */

/* A dictionary of bounded size (`Recent`, ledger.py), and its attributes. */
typedef struct {
    PyObject *object, *attributes;
} Recent;

typedef struct {
    PyObject_HEAD
    PyObject *held[HELD];
    Recent made, ran, gradients;
    PyObject *sink, *observer; /* attributes */
    Stencils stencils;
    Table facts;               /* shape, element type and whether finite -> the plain fact */
    PyObject *run, *run_site;  /* what stands for the running tape, and the line that it computes gradients for */
    PyObject *words;           /* texts -> the one object that stands for all that are equal */
    const Looks *looks;
    double zero;
    Py_ssize_t most, generation;
    int level;
    unsigned long ident; /* of the only thread that is recorded here */
    signed char codes[TYPES]; /* TensorFlow's number of an element type -> the kernel's, or -1 */
} Clerk;

/* ---- What Python keeps. ---- */

/* A value by its key (a new reference); NULL without an error where there is none. */
static PyObject *recent_get(const Recent *recent, PyObject *key) {
    PyObject *young = PyDict_GetItemWithError(recent->attributes, YOUNG), *value;
    value = young ? PyDict_GetItemWithError(young, key) : NULL;
    if (value || PyErr_Occurred()) return kept(value);
    PyObject *old = PyDict_GetItemWithError(recent->attributes, OLD);
    if (!old || !PyDict_GetItemWithError(old, key)) return NULL;
    value = PyObject_CallMethodObjArgs(recent->object, GET, key, NULL); /* of the older generation */
    if (value == Py_None) Py_CLEAR(value);
    return value;
}

static int recent_set(const Clerk *self, const Recent *recent, PyObject *key, PyObject *value) {
    PyObject *young = PyDict_GetItemWithError(recent->attributes, YOUNG);
    if (young && PyDict_Size(young) < self->generation) return PyDict_SetItem(young, key, value);
    return PyErr_Occurred() ? -1 : PyObject_SetItem(recent->object, key, value);
}

/* A named tuple of these items, which it takes over; NULL if one of them is. */
static PyObject *made_tuple(PyObject *type, PyObject **items, Py_ssize_t count) {
    PyObject *made = ((allocfunc)PyType_GetSlot((PyTypeObject *)type, Py_tp_alloc))((PyTypeObject *)type, count);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!items[i]) Py_CLEAR(made);
        if (made) PyTuple_SetItem(made, i, items[i]);
        else Py_XDECREF(items[i]);
    }
    return untracked(made);
}

/* The one object for all equal texts (borrowed). */
static PyObject *one_of(Clerk *self, PyObject *text) {
    PyObject *known = PyDict_GetItemWithError(self->words, text);
    if (known || PyErr_Occurred()) return known;
    return PyDict_SetItem(self->words, text, text) < 0 ? NULL : text;
}

static PyObject *new_made(Clerk *self, const Known *known, PyObject *origin, PyObject *seq, Py_ssize_t output, PyObject *name) {
    PyObject *items[] = {kept(known->fact), kept(origin), kept(seq), PyLong_FromSsize_t(output), kept(name), kept(known->kind)};
    return made_tuple(self->held[MADE_TYPE], items, MADE_FIELDS);
}

/* ---- Facts. ---- */

static void known_clear(Known *known) {
    Py_CLEAR(known->fact);
    Py_CLEAR(known->kind);
    Py_CLEAR(known->text);
}

#define EMPTY 3

static int fact_key(uint64_t *words, const Py_ssize_t *sizes, int axes, long type, int finite) {
    words[0] = (uint64_t)type;
    words[1] = (uint64_t)finite;
    for (int i = 0; i < axes; i++) words[2 + i] = (uint64_t)sizes[i];
    return 2 + axes;
}

/* A plain fact; `finite` is 2 where that is not known. */
static PyObject *plain_fact(Clerk *self, const Py_ssize_t *sizes, int axes, long type, int finite) {
    uint64_t words[2 + AXES];
    fact_key(words, sizes, axes, type, finite);
    PyObject *known = table_get(&self->facts, words, 2 + axes), *shape, *fact;
    if (known) return kept(known);
    shape = PyTuple_New(axes);
    for (int i = 0; shape && i < axes; i++) PyTuple_SetItem(shape, i, PyLong_FromSsize_t(sizes[i]));
    PyObject *number = PyLong_FromLong(type);
    fact = shape && number ? PyObject_CallMethodObjArgs(self->held[OPS], PLAIN, shape, number,
                                                        finite == 2 ? Py_None : finite ? Py_True : Py_False, NULL) : NULL;
    Py_XDECREF(shape);
    Py_XDECREF(number);
    if (fact && table_put(&self->facts, words, 2 + axes, kept(fact), NULL) < 0) Py_CLEAR(fact);
    return fact;
}

/* The sizes of a tensor; -1 at an error, -2 where Python is to look: it has too many axes. */
static int sizes_of(PyObject *tensor, Py_ssize_t *sizes) {
    PyObject *shape = PyObject_CallMethodObjArgs(tensor, SHAPE_TUPLE, NULL);
    Py_ssize_t axes = shape ? PyTuple_Size(shape) : -1;
    if (axes > AXES) axes = -2;
    for (Py_ssize_t i = 0; i < axes; i++) sizes[i] = PyLong_AsSsize_t(PyTuple_GetItem(shape, i));
    Py_XDECREF(shape);
    return PyErr_Occurred() ? -1 : (int)axes;
}

/* Whether the elements are whole numbers, by the kernel's number of their type: truth values are not. */
static int is_whole(int code) { return code > 3 && code != 9; }

/* The kernel's number of the type of a tensor's elements, -1 where it reads none such. */
static int code_of(Clerk *self, PyObject *tensor) {
    PyObject *number = PyObject_CallMethodObjArgs(tensor, DATATYPE, NULL);
    long type = number ? PyLong_AsLong(number) : -1;
    Py_XDECREF(number);
    return type >= 0 && type < TYPES ? self->codes[type] : -1;
}

/* What Python knows of a tensor, where there is no quick way. */
static int ask_python(Clerk *self, PyObject *tensor, int look, Known *known) {
    PyObject *measured = look == ANY || (look == WHOLE && is_whole(code_of(self, tensor))) ? Py_True : Py_False;
    known->fact = PyObject_CallMethodObjArgs(self->held[OPS], FACT, tensor, look ? Py_True : Py_False, measured, NULL);
    known->kind = known->fact ? PyObject_CallMethodObjArgs(self->held[OPS], KIND, known->fact, NULL) : NULL;
    return known->kind ? 0 : -1;
}

/* A fact with what differs from the plain one. */
static PyObject *new_fact(Clerk *self, PyObject *kind, PyObject *alias, PyObject *stats) {
    PyObject *names[] = {SHAPE, DTYPE, DEVICE, FINITE, UNCHECKED}, *of[5] = {NULL}, *fact = NULL;
    int whole = 1;
    for (int i = 0; i < 5 && whole; i++) whole = (of[i] = PyObject_GetAttr(kind, names[i])) != NULL;
    if (whole)
        fact = PyObject_CallFunctionObjArgs(self->held[FACT_TYPE], of[0], of[1], of[2], NO_TEXT, alias, of[3], of[4], stats, NULL);
    for (int i = 0; i < 5; i++) Py_XDECREF(of[i]);
    return fact;
}

/* What Python once said of a tensor without elements, which is always the same. Returns as `look_at`. */
static int known_empty(Clerk *self, PyObject *tensor, const Py_buffer *view, long type, Known *known) {
    uint64_t words[2 + AXES];
    int length = fact_key(words, view->shape, view->ndim, type, EMPTY);
    known->fact = kept(table_get(&self->facts, words, length));
    if (known->fact) return (known->kind = kept(known->fact)) != NULL;
    if (ask_python(self, tensor, 1, known) < 0) return -1;
    if (known->kind == known->fact && table_put(&self->facts, words, length, kept(known->fact), NULL) < 0) return -1;
    return 1;
}

/* What the kernel says of elements in memory. Returns 1, 0 where Python is to look, -1 at an error. */
static int look_at(Clerk *self, PyObject *tensor, const Py_buffer *view, long type, int measured, Known *known) {
    int code = self->codes[type];
    Py_ssize_t count = view->itemsize ? view->len / view->itemsize : 0;
    if (view->ndim > AXES) return 0;
    if (!count && self->level == STATISTICS) return known_empty(self, tensor, view, type, known);
    known->kind = plain_fact(self, view->shape, view->ndim, type, code > 3 ? 2 : 1);
    if (!known->kind) return -1;
    if (self->level == HEALTH && view->ndim && !(measured && count)) {
        if (!self->looks->finite(view->buf, count, code)) return 0;
        known->fact = kept(known->kind);
        return 1;
    }
    known->text = self->looks->text(view->buf, count, code);
    if (!known->text) return PyErr_Occurred() ? -1 : 0;
    PyObject *stats = PyObject_CallFunctionObjArgs(self->held[DECODE], known->text, NULL);
    known->fact = stats ? new_fact(self, known->kind, Py_None, stats) : NULL;
    Py_XDECREF(stats);
    return known->fact ? 1 : -1;
}

/* What is known of a tensor at the recording's level; `look` says whether its elements matter. */
static int tensor_known(Clerk *self, PyObject *tensor, int look, Known *known) {
    PyObject *number = PyObject_CallMethodObjArgs(tensor, DATATYPE, NULL);
    long type = number ? PyLong_AsLong(number) : -1;
    Py_ssize_t sizes[AXES];
    Py_buffer view;
    Py_XDECREF(number);
    if (PyErr_Occurred()) return -1;
    if (self->level == SHAPES) look = 0;
    int code = type >= 0 && type < TYPES ? self->codes[type] : -1;
    if (look && (code < 0 || !self->looks)) return ask_python(self, tensor, look, known);
    int measured = look == ANY || (look == WHOLE && is_whole(code));
    if (look && (code <= 3 || measured || self->level == STATISTICS)) {
        int found = 0;
        if (PyObject_GetBuffer(tensor, &view, PyBUF_ND) == 0) {
            found = look_at(self, tensor, &view, type, measured, known);
            PyBuffer_Release(&view);
        } else if (!forgotten()) {
            return -1;
        }
        if (found) return found < 0 ? -1 : 0;
        known_clear(known);
        return ask_python(self, tensor, look, known);
    }
    int axes = sizes_of(tensor, sizes);
    if (axes == -2 || (look && axes == 0)) return ask_python(self, tensor, look, known);
    if (axes < 0) return -1;
    known->kind = plain_fact(self, sizes, axes, type, 2);
    known->fact = kept(known->kind);
    return known->kind ? 0 : -1;
}

/* What is known of a view: it is as finite as what it views. */
static int view_known(Clerk *self, PyObject *tensor, PyObject *source, Known *known) {
    PyObject *fact = PyTuple_GetItem(source, M_FACT), *alias = PyTuple_GetItem(source, M_SEQ);
    PyObject *finite = PyObject_GetAttr(fact, FINITE), *unchecked = finite ? PyObject_GetAttr(fact, UNCHECKED) : NULL;
    PyObject *number = unchecked ? PyObject_CallMethodObjArgs(tensor, DATATYPE, NULL) : NULL;
    Py_ssize_t sizes[AXES];
    int axes = number ? sizes_of(tensor, sizes) : -1;
    if (axes >= 0 && equal(unchecked, NO_TEXT) == 1)
        known->kind = plain_fact(self, sizes, axes, PyLong_AsLong(number), finite == Py_None ? 2 : finite == Py_True);
    else if (axes != -1)
        known->kind = PyObject_CallMethodObjArgs(self->held[OPS], VIEWED, tensor, fact, NULL);
    if (known->kind) known->fact = alias == Py_None ? kept(known->kind) : new_fact(self, known->kind, alias, Py_None);
    Py_XDECREF(finite);
    Py_XDECREF(unchecked);
    Py_XDECREF(number);
    return known->fact ? 0 : -1;
}

/* ---- One op. ---- */

/* Where a plain tensor that was never seen before came from: it is the user's, or a constant. NULL without an error where
 * Python is to tell: it may be a variable's value, which a generated function that is given a variable reads unseen. */
static PyObject *first_seen(Clerk *self, PyObject *op, Py_ssize_t index, PyObject *tensor, PyObject *id, PyObject *frame) {
    PyObject *number = PyObject_CallMethodObjArgs(tensor, DATATYPE, NULL), *names = PyTuple_GetItem(op, O_ARGUMENTS), *made = NULL;
    long type = number ? PyLong_AsLong(number) : -1;
    Known known = {NULL, NULL, NULL};
    Py_XDECREF(number);
    if (type < 0 || type >= TYPES || self->codes[type] < 0) return NULL;
    if (index < PyTuple_Size(names)) {
        PyObject *locals = PyObject_GetAttr(frame, F_LOCALS);
        PyObject *given = locals ? PyDict_GetItemWithError(locals, PyTuple_GetItem(names, index)) : NULL;
        int plain = !given || Py_TYPE(given) == Py_TYPE(tensor) || PyLong_Check(given) || PyFloat_Check(given);
        Py_XDECREF(locals);
        if (!plain) return NULL;
    }
    PyObject *shape = tensor_known(self, tensor, 1, &known) < 0 ? NULL : PyObject_GetAttr(known.kind, SHAPE);
    if (shape) made = new_made(self, &known, PyTuple_Size(shape) ? ARGUMENT : CONSTANT, Py_None, 0, NO_TEXT);
    Py_XDECREF(shape);
    known_clear(&known);
    if (made && recent_set(self, &self->made, id, made) < 0) Py_CLEAR(made);
    return made;
}

/* Where an input came from (a new reference). */
static PyObject *input_made(Clerk *self, PyObject *op, Py_ssize_t index, PyObject *tensor, PyObject *frame) {
    PyObject *id = PyObject_GetAttr(tensor, TENSOR_ID), *made = id ? recent_get(&self->made, id) : NULL, *number;
    if (id && !made && !PyErr_Occurred()) made = first_seen(self, op, index, tensor, id, frame);
    if (id && !PyErr_Occurred() && (!made || equal(PyTuple_GetItem(made, M_ORIGIN), UNKNOWN) == 1)) {
        Py_CLEAR(made);
        number = PyLong_FromSsize_t(index);
        made = PyObject_CallMethodObjArgs(self->held[OPS], MADE_OF, op, number, tensor, frame, NULL);
        Py_XDECREF(number);
    }
    if (made && PyTuple_GetItem(made, M_KIND) == Py_None) {
        PyObject *fact = PyTuple_GetItem(made, M_FACT), *of[] = {PyTuple_GetItem(made, M_ORIGIN), PyTuple_GetItem(made, M_SEQ)};
        Known known = {kept(fact), PyObject_CallMethodObjArgs(self->held[OPS], KIND, fact, NULL), NULL};
        PyObject *name = one_of(self, PyTuple_GetItem(made, M_NAME)), *whole = NULL;
        if (known.kind && name)
            whole = new_made(self, &known, of[0], of[1], PyLong_AsSsize_t(PyTuple_GetItem(made, M_OUTPUT)), name);
        known_clear(&known);
        Py_DECREF(made);
        made = whole;
        if (made && recent_set(self, &self->made, id, made) < 0) Py_CLEAR(made);
    }
    Py_XDECREF(id);
    return made;
}

/* How the inputs of an op are looked at that may leave the range of whole numbers: those are measured, and what becomes one. */
static int look_of(Clerk *self, PyObject *op, PyObject *outputs) {
    long traits = PyLong_AsLong(PyTuple_GetItem(op, O_TRAITS));
    PyObject *first = traits & COUNT && self->level != SHAPES && PySequence_Size(outputs) > 0 ? PySequence_GetItem(outputs, 0) : NULL;
    int whole = first && is_whole(code_of(self, first));
    Py_XDECREF(first);
    return traits & CAST ? (whole ? ANY : 0) : traits & COUNT && self->level != SHAPES ? WHOLE : 0;
}

/* The same as `made` (which it takes over), with the statistics of a tensor that is calculated with. */
static PyObject *measured(Clerk *self, PyObject *made, PyObject *tensor, int look) {
    PyObject *fact = PyTuple_GetItem(made, M_FACT), *kind = PyTuple_GetItem(made, M_KIND), *stats = PyObject_GetAttr(fact, STATS);
    int code = stats == Py_None ? code_of(self, tensor) : -1;
    Known known = {NULL, NULL, NULL}, found = {NULL, kind, NULL};
    Py_XDECREF(stats);
    if (code < 0 || (look == WHOLE && !is_whole(code))) return PyErr_Occurred() ? NULL : made;
    PyObject *id = PyObject_GetAttr(tensor, TENSOR_ID), *alias = id ? PyObject_GetAttr(fact, ALIAS_OF) : NULL, *whole = NULL;
    stats = alias && tensor_known(self, tensor, look, &known) == 0 ? PyObject_GetAttr(known.fact, STATS) : NULL;
    found.fact = stats ? new_fact(self, kind, alias, stats) : NULL;
    if (found.fact)
        whole = new_made(self, &found, PyTuple_GetItem(made, M_ORIGIN), PyTuple_GetItem(made, M_SEQ),
                         PyLong_AsSsize_t(PyTuple_GetItem(made, M_OUTPUT)), PyTuple_GetItem(made, M_NAME));
    if (whole && recent_set(self, &self->made, id, whole) < 0) Py_CLEAR(whole);
    known_clear(&known);
    Py_XDECREF(id);
    Py_XDECREF(alias);
    Py_XDECREF(stats);
    Py_XDECREF(found.fact);
    Py_DECREF(made);
    return whole;
}

static PyObject *inputs_made(Clerk *self, PyObject *op, PyObject *inputs, PyObject *outputs, PyObject *frame) {
    Py_ssize_t count = PyTuple_Size(inputs);
    int look = look_of(self, op, outputs);
    PyObject *all = count < 0 ? NULL : untracked(PyTuple_New(count));
    for (Py_ssize_t i = 0; all && i < count; i++) {
        PyObject *one = input_made(self, op, i, PyTuple_GetItem(inputs, i), frame);
        if (one && look) one = measured(self, one, PyTuple_GetItem(inputs, i), look);
        if (one) PyTuple_SetItem(all, i, one);
        else Py_CLEAR(all);
    }
    return all;
}

/* What this thread is doing now (borrowed); a variable written after a backward pass is an update. */
static PyObject *phase_of(Clerk *self, long traits) {
    PyObject *depth = PyDict_GetItemWithError(self->held[STATE], BACKWARD);
    if (depth && PyObject_IsTrue(depth)) return BACKWARD;
    if (traits & ASSIGNS && is_true(self->observer, DIFFERENTIATED) == 1)
        return PyDict_SetItem(self->observer, UPDATED, Py_True) < 0 ? NULL : OPTIMIZER;
    PyObject *phase = PyDict_GetItemWithError(self->sink, RUNNING_PHASE);
    return !phase || phase == Py_None ? FORWARD : one_of(self, phase);
}

/* The forward node of a backward op (a new reference), or None. */
static PyObject *forward_of(Clerk *self, PyObject *op, PyObject *inputs, PyObject *outputs) {
    PyObject *running = PyDict_GetItemWithError(self->held[STATE], FORWARD);
    if (running && running != Py_None) return kept(running);
    return PyObject_CallMethodObjArgs(self->held[OPS], FORWARD_OF, PyTuple_GetItem(op, O_NAME), inputs, outputs, NULL);
}

/* A backward op has the words of its forward op, whatever op it is made of. Borrowed, from tables that live on. */
static int words_of(Clerk *self, Execution *it) {
    it->function = PyTuple_GetItem(it->op, O_FUNCTION);
    it->family = PyTuple_GetItem(it->op, O_FAMILY);
    PyObject *owner = it->forward == Py_None ? NULL : recent_get(&self->ran, it->forward);
    if (owner) {
        PyObject *function = PyObject_GetItem(self->held[BACKWARDS], PyTuple_GetItem(owner, R_FUNCTION));
        it->function = function;
        it->family = one_of(self, PyTuple_GetItem(owner, R_FAMILY));
        Py_XDECREF(function); /* the table has it */
        Py_DECREF(owner);
    }
    return it->function && it->family && !PyErr_Occurred() ? 0 : -1;
}

/* The running name scope (borrowed). */
static PyObject *module_of(Clerk *self) {
    PyObject *scope = PyObject_GetAttr(self->held[LOCALS], SCOPE_NAME), *module = NO_TEXT;
    if (!scope) return NULL;
    if (scope != Py_None && equal(scope, NO_TEXT) != 1) {
        module = PyObject_GetItem(self->held[MODULES], scope);
        Py_XDECREF(module); /* the table has it */
    }
    Py_DECREF(scope);
    return module;
}

/* Look at the outputs, and remember what made them. */
static int take_outputs(Clerk *self, Execution *it, PyObject *outputs, long traits) {
    PyObject *source = traits & VIEW && PyTuple_Size(it->made) > 0 ? PyTuple_GetItem(it->made, 0) : NULL;
    int listed = PyList_Check(outputs);
    Py_ssize_t count = PySequence_Size(outputs);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *tensor = listed ? PyList_GetItem(outputs, i) : PyTuple_GetItem(outputs, i), *id, *made;
        Known *known = &it->outputs[it->count++];
        if (!tensor || (source ? view_known(self, tensor, source, known) : tensor_known(self, tensor, traits & COUNT ? WHOLE : LOOK, known)) < 0) return -1;
        id = PyObject_GetAttr(tensor, TENSOR_ID);
        made = id ? new_made(self, known, NODE, it->seq, i, NO_TEXT) : NULL;
        int bad = !made || recent_set(self, &self->made, id, made) < 0;
        Py_XDECREF(id);
        Py_XDECREF(made);
        if (bad) return -1;
    }
    return count < 0 ? -1 : 0;
}

/* The facts of an execution's outputs. */
static PyObject *facts_of(const Execution *it) {
    PyObject *facts = PyTuple_New(it->count);
    for (Py_ssize_t i = 0; facts && i < it->count; i++) PyTuple_SetItem(facts, i, kept(it->outputs[i].fact));
    return facts;
}

/* Have Python build the node of an execution, write its line, and keep the stencil for the next ones like it. */
static int learn(Clerk *self, const Execution *it, const Key *key) {
    PyObject *facts = facts_of(it), *line = NULL, *way = NULL, *time = PyFloat_FromDouble(it->time);
    PyObject *found = facts && time ? PyObject_CallMethodObjArgs(self->held[OPS], LEARN, it->op, it->seq, it->phase, it->site,
                                                                 it->function, it->family, it->module, it->forward, it->made,
                                                                 facts, it->inputs, it->attrs, time, NULL) : NULL;
    if (found && (line = PyTuple_GetItem(found, 0))) way = PyTuple_GetItem(found, 1);
    int bad = !way || add_line(&self->stencils, line, 1) < 0;
    if (!bad && way != Py_None && key->length > 0) bad = learn_stencil(&self->stencils, key, way) < 0;
    Py_XDECREF(found);
    Py_XDECREF(facts);
    Py_XDECREF(time);
    return bad ? -1 : 0;
}

static int write_execution(Clerk *self, const Execution *it) {
    Key key;
    if (key_of(&key, it) < 0) return -1;
    PyObject *way = key.length ? stencil_of(&self->stencils, &key, it) : NULL;
    if (PyErr_Occurred()) return -1;
    if (!way) return learn(self, it, &key);
    Py_INCREF(way); /* encoding may run Python, and that may come back here */
    int bad = write_line(&self->stencils, it, way);
    Py_DECREF(way);
    return bad;
}

static int remember_ran(Clerk *self, const Execution *it) {
    PyObject *items[] = {kept(PyTuple_GetItem(it->op, O_NAME)), kept(it->made), kept(it->function), kept(it->family)};
    PyObject *ran = made_tuple(self->held[RAN_TYPE], items, RAN_FIELDS);
    int bad = !ran || recent_set(self, &self->ran, it->seq, ran) < 0;
    Py_XDECREF(ran);
    return bad ? -1 : 0;
}

/* The user's line of an op (a new reference). Ops below a gradient function have that of the tape's call, which is looked for
 * once a tape, unless the gradient function is the user's. */
static PyObject *site_of(Clerk *self, PyObject *frame, PyObject *phase) {
    PyObject *walker = self->held[WALKER], *reader = self->held[READER], *reached = NULL, *site;
    PyObject *run = phase == BACKWARD ? PyDict_GetItemWithError(self->held[STATE], VISITED) : NULL;
    site = innermost(walker, frame, reader, run ? self->held[GRADIENT_CODE] : NULL, &reached);
    if (!reached) return site;
    if (self->run == run && self->run_site) {
        site = kept(self->run_site);
    } else if ((site = innermost(walker, reached, reader, NULL, NULL))) {
        Py_XDECREF(self->run);
        Py_XDECREF(self->run_site);
        self->run = kept(run);
        self->run_site = site == Py_None ? NULL : kept(site);
    }
    Py_DECREF(reached);
    return site;
}

static double seconds(Clerk *self) {
    PyObject *now = PyObject_CallNoArgs(self->held[CLOCK]);
    double time = now ? PyFloat_AsDouble(now) - self->zero : 0;
    Py_XDECREF(now);
    return time;
}

static int recorded(Clerk *self, PyObject *op, long traits, PyObject *inputs, PyObject *attrs, PyObject *outputs, PyObject *frame) {
    Execution it = {.op = op, .inputs = inputs, .attrs = attrs, .seq = PyObject_CallNoArgs(self->held[NEXT_SEQ])};
    int bad = 1;
    it.made = it.seq ? inputs_made(self, op, inputs, outputs, frame) : NULL;
    it.phase = it.made ? phase_of(self, traits) : NULL;
    it.forward = !it.phase ? NULL : it.phase == BACKWARD ? forward_of(self, op, inputs, outputs) : kept(Py_None);
    if (it.forward && words_of(self, &it) == 0 && (it.module = module_of(self)) &&
        take_outputs(self, &it, outputs, traits) == 0 && remember_ran(self, &it) == 0 &&
        (it.site = site_of(self, frame, it.phase))) {
        it.step = kept(PyDict_GetItemWithError(self->sink, RUNNING_STEP));
        it.time = seconds(self);
        bad = !it.step || PyErr_Occurred() || write_execution(self, &it) < 0;
        Py_XDECREF(it.step);
    }
    for (Py_ssize_t i = 0; i < it.count; i++) known_clear(&it.outputs[i]);
    Py_XDECREF(it.site);
    Py_XDECREF(it.seq);
    Py_XDECREF(it.made);
    Py_XDECREF(it.forward);
    return bad ? -1 : 0;
}

/* A variable was read: remember its name with the value. Returns 0 where Python is to find its name, -1 at an error. */
static int read_variable(Clerk *self, PyObject *inputs, PyObject *outputs) {
    PyObject *handle = PyTuple_Size(inputs) == 1 ? PyTuple_GetItem(inputs, 0) : NULL, *value = NULL;
    if (handle && PyList_Check(outputs) && PyList_Size(outputs) == 1) value = PyList_GetItem(outputs, 0);
    PyObject *of = value ? PyObject_GetAttr(handle, TENSOR_ID) : NULL;
    PyObject *name = of ? PyDict_GetItemWithError(self->held[VARIABLES], of) : NULL, *id = NULL, *made = NULL;
    Py_XDECREF(of);
    if (!name) return PyErr_Occurred() ? -1 : 0;
    Known known = {NULL, NULL, NULL};
    if ((name = one_of(self, name)) && tensor_known(self, value, 0, &known) == 0) id = PyObject_GetAttr(value, TENSOR_ID);
    if (id) made = new_made(self, &known, VARIABLE, Py_None, 0, name);
    int bad = !made || recent_set(self, &self->made, id, made) < 0;
    known_clear(&known);
    Py_XDECREF(id);
    Py_XDECREF(made);
    return bad ? -1 : 1;
}

/* Call what does the same in Python. */
static PyObject *in_python(PyObject *owner, PyObject *name, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords) {
    Py_ssize_t named = keywords ? PyTuple_Size(keywords) : 0;
    PyObject *function = PyObject_GetAttr(owner, name), *given = PyTuple_New(nargs), *words = NULL, *result = NULL;
    for (Py_ssize_t i = 0; given && i < nargs; i++) PyTuple_SetItem(given, i, kept(args[i]));
    if (named && (words = PyDict_New()))
        for (Py_ssize_t i = 0; i < named; i++)
            if (PyDict_SetItem(words, PyTuple_GetItem(keywords, i), args[nargs + i]) < 0) Py_CLEAR(given);
    if (function && given && (!named || words)) result = PyObject_Call(function, given, words);
    Py_XDECREF(function);
    Py_XDECREF(given);
    Py_XDECREF(words);
    return result;
}

/* Report the error that is set; it is none of the user's. NULL at one that ends the program. */
static PyObject *failed(Clerk *self, PyObject *name) {
    PyObject *type, *error, *trace, *done;
    if (!PyErr_ExceptionMatches(PyExc_Exception)) return NULL;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace) PyException_SetTraceback(error, trace);
    done = PyObject_CallMethodObjArgs(self->held[OPS], TOOL_ERROR, name, error, NULL);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    return done;
}

/* Record one op while nothing that runs meanwhile is recorded. Returns None, or NULL at an interrupt. */
static PyObject *take(Clerk *self, PyObject *op, long traits, PyObject *const *args, Py_ssize_t nargs, PyObject *frame) {
    PyObject *state = self->held[STATE], *result;
    int done = PyDict_SetItem(state, BUSY, Py_True);
    if (done == 0 && traits & READ) done = read_variable(self, args[1], args[3]);
    else if (done == 0) done = recorded(self, op, traits, args[1], args[2], args[3], frame) < 0 ? -1 : 1;
    result = done < 0 ? failed(self, PyTuple_GetItem(op, O_NAME)) : kept(Py_None);
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    if (PyDict_SetItem(state, BUSY, Py_False) < 0) PyErr_Clear();
    PyErr_Restore(type, error, trace);
    if (!result || done) return result;
    Py_DECREF(result);
    return in_python(self->held[OPS], SEEN, args, nargs, NULL);
}

/* seen(op_type, inputs, attrs, outputs, op_name=None, graph=None): TensorFlow's op callback. */
static PyObject *clerk_seen(Clerk *self, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords) {
    if (keywords || nargs != 5 || PyThread_get_thread_ident() != self->ident || !PyTuple_Check(args[1]) ||
        (!PyList_Check(args[3]) && !PyTuple_Check(args[3])) || PySequence_Size(args[3]) > MOST_OUTPUTS)
        return in_python(self->held[OPS], SEEN, args, nargs, keywords);
    int busy = is_true(self->held[STATE], BUSY), recording = is_true(self->sink, RECORDING);
    if (busy > 0) Py_RETURN_NONE;
    PyObject *op = PyObject_GetItem(self->held[KNOWN_OPS], args[0]), *result = NULL;
    long traits = op ? PyLong_AsLong(PyTuple_GetItem(op, O_TRAITS)) : SLOW;
    PyObject *frame = op ? (PyObject *)PyThreadState_GetFrame(PyThreadState_Get()) : NULL, *code = NULL;
    if (frame) code = (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
    if (!op) result = NULL;
    else if (!code || code == self->held[CALLBACKS_CODE] || recording < 0 || traits & SLOW || (!recording && traits & ASSIGNS))
        result = in_python(self->held[OPS], SEEN, args, nargs, NULL);
    else if (!recording || traits & UNSEEN) result = kept(Py_None);
    else result = take(self, op, traits, args, nargs, frame);
    Py_XDECREF(op);
    Py_XDECREF(frame);
    Py_XDECREF(code);
    if (result && self->stencils.count >= self->most) {
        Py_DECREF(result);
        result = PyObject_CallMethodObjArgs(self->held[OPS], FULL, NULL);
    }
    return result;
}

/* ---- Gradient functions. ---- */

/* The forward node that made one of the outputs (a new reference); NULL without an error where that is not known. */
static PyObject *maker_of(Clerk *self, PyObject *outputs) {
    Py_ssize_t count = outputs == Py_None ? 0 : PySequence_Size(outputs);
    PyObject *seq = NULL;
    for (Py_ssize_t i = 0; i < count && !seq; i++) {
        PyObject *one = PySequence_GetItem(outputs, i), *id = one && one != Py_None ? PyObject_GetAttr(one, TENSOR_ID) : NULL;
        PyObject *made = id ? recent_get(&self->made, id) : NULL;
        if (made) seq = kept(PyTuple_GetItem(made, M_SEQ));
        if (seq == Py_None) Py_CLEAR(seq);
        Py_XDECREF(one);
        Py_XDECREF(id);
        Py_XDECREF(made);
        if (!forgotten()) break;
    }
    return seq;
}

/* Of several tensors, the latest node that made one of them, is of that type of op, and was not visited: `best` or a later
 * one (takes over and returns a reference, or NULL). */
static PyObject *latest_of(Clerk *self, PyObject *several, PyObject *op_name, PyObject *visited, PyObject *best) {
    Py_ssize_t count = several ? PyTuple_Size(several) : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *seq = PyTuple_GetItem(PyTuple_GetItem(several, i), M_SEQ);
        if (seq == Py_None || (best && PyLong_AsLongLong(seq) <= PyLong_AsLongLong(best)) || PySet_Contains(visited, seq)) continue;
        PyObject *ran = recent_get(&self->ran, seq);
        if (ran && equal(PyTuple_GetItem(ran, R_OP), op_name) == 1) {
            Py_XDECREF(best);
            best = kept(seq);
        }
        Py_XDECREF(ran);
    }
    return best;
}

/* Where the tape kept none of the outputs, the gradients of these tell. */
static PyObject *owner_by_gradients(Clerk *self, PyObject *op_name, PyObject *grads) {
    PyObject *state = self->held[STATE], *targets = PyDict_GetItemWithError(state, TARGETS);
    PyObject *visited = PyDict_GetItemWithError(state, VISITED), *best;
    if (!visited || !PySet_Check(visited)) return NULL;
    best = latest_of(self, targets, op_name, visited, NULL);
    Py_ssize_t count = PySequence_Size(grads);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *grad = PySequence_GetItem(grads, i), *id = grad && grad != Py_None ? PyObject_GetAttr(grad, TENSOR_ID) : NULL;
        PyObject *several = id ? recent_get(&self->gradients, id) : NULL;
        best = latest_of(self, several, op_name, visited, best);
        Py_XDECREF(grad);
        Py_XDECREF(id);
        Py_XDECREF(several);
        if (!forgotten()) break; /* gradients of single rows have no number */
    }
    if (best && !PyErr_Occurred() && PySet_Add(visited, best) < 0) Py_CLEAR(best);
    return best;
}

/* What a gradient function gave for one input of the node is the gradient of what that input is. */
static int follow_one(Clerk *self, PyObject *grad, PyObject *made) {
    PyObject *id = grad == Py_None ? NULL : PyObject_GetAttr(grad, TENSOR_ID), *before, *one, *all;
    if (!id) return forgotten() ? 0 : -1; /* no gradient, or one of single rows */
    before = recent_get(&self->gradients, id);
    one = PyTuple_Pack(1, made);
    all = before && one ? PySequence_Concat(before, one) : kept(one);
    int bad = PyErr_Occurred() || !all || recent_set(self, &self->gradients, id, all) < 0;
    Py_DECREF(id);
    Py_XDECREF(before);
    Py_XDECREF(one);
    Py_XDECREF(all);
    return bad ? -1 : 0;
}

static int follow(Clerk *self, PyObject *owner, PyObject *grads) {
    PyObject *ran = recent_get(&self->ran, owner), *inputs = ran ? PyTuple_GetItem(ran, R_INPUTS) : NULL;
    int several = PyList_Check(grads) || PyTuple_Check(grads), bad = 0;
    Py_ssize_t count = !inputs ? 0 : several ? PySequence_Size(grads) : 1;
    if (inputs && PyTuple_Size(inputs) < count) count = PyTuple_Size(inputs);
    for (Py_ssize_t i = 0; i < count && !bad; i++) {
        PyObject *grad = several ? PySequence_GetItem(grads, i) : kept(grads);
        bad = !grad || follow_one(self, grad, PyTuple_GetItem(inputs, i)) < 0;
        Py_XDECREF(grad);
    }
    Py_XDECREF(ran);
    return bad || PyErr_Occurred() ? -1 : 0;
}

/* gradient(op_name, attrs, count, inputs, outputs, out_grads, skip, scope): TensorFlow's gradient function of one op. */
static PyObject *clerk_gradient(Clerk *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 8 || PyThread_get_thread_ident() != self->ident || is_true(self->sink, RECORDING) != 1)
        return in_python(self->held[TAPE], GRADIENT, args, nargs, NULL);
    PyObject *owner = maker_of(self, args[4]), *state = self->held[STATE], *grads;
    if (!owner && !PyErr_Occurred()) owner = owner_by_gradients(self, args[0], args[5]);
    if (PyErr_Occurred()) {
        PyObject *done = failed(self, NO_TEXT);
        Py_XDECREF(done);
        Py_CLEAR(owner);
        if (!done) return NULL;
    }
    PyObject *outer = kept(PyDict_GetItemWithError(state, FORWARD)), *type, *error, *trace;
    if (PyDict_SetItem(state, FORWARD, owner ? owner : Py_None) < 0) PyErr_Clear();
    grads = in_python(self->held[BACKPROP], GRADIENT_FUNCTION, args, nargs, NULL);
    PyErr_Fetch(&type, &error, &trace);
    if (PyDict_SetItem(state, FORWARD, outer ? outer : Py_None) < 0) PyErr_Clear();
    if (grads && owner && follow(self, owner, grads) < 0) {
        PyObject *done = failed(self, NO_TEXT);
        if (!done) Py_CLEAR(grads);
        Py_XDECREF(done);
    }
    if (type) PyErr_Restore(type, error, trace);
    Py_XDECREF(outer);
    Py_XDECREF(owner);
    return grads;
}

/* ---- The type. ---- */

/* add(lines, count): lines of events that were built elsewhere. */
static PyObject *clerk_add(Clerk *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 2) return raise_type("add(lines, count)"), NULL;
    if (add_line(&self->stencils, args[0], PyLong_AsSsize_t(args[1])) < 0) return NULL;
    return PyLong_FromSsize_t(self->stencils.count);
}

/* take() -> (how many lines, the lines) since it was last called. */
static PyObject *clerk_take(Clerk *self, PyObject *unused) {
    Text *lines = &self->stencils.lines;
    (void)unused;
    PyObject *taken = Py_BuildValue("(ny#)", self->stencils.count, lines->text, (Py_ssize_t)lines->length);
    if (taken) lines->length = 0, self->stencils.count = 0;
    return taken;
}

/* Clerk(held, made, ran, gradients, zero, most, generation, looks, level, codes) */
static PyObject *clerk_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *held, *looks;
    double zero;
    Py_ssize_t most, generation, several;
    int level;
    const char *codes;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!dnnOiy#", &PyTuple_Type, &held, &zero, &most, &generation, &looks, &level, &codes, &several))
        return NULL;
    if (PyTuple_Size(held) != HELD || several != TYPES) return raise_type("Clerk takes what it holds"), NULL;
    Clerk *self = (Clerk *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self) return NULL;
    for (int i = 0; i < HELD; i++) self->held[i] = kept(PyTuple_GetItem(held, i));
    self->made = (Recent){self->held[MADE], attributes_of(self->held[MADE])};
    self->ran = (Recent){self->held[RAN], attributes_of(self->held[RAN])};
    self->gradients = (Recent){self->held[GRADIENTS], attributes_of(self->held[GRADIENTS])};
    self->sink = attributes_of(self->held[SINK]);
    self->observer = attributes_of(self->held[OBSERVER]);
    self->words = PyDict_New();
    self->stencils.encode = self->held[ENCODE];
    self->stencils.known.most = 16384;
    self->facts.most = 20000;
    self->zero = zero;
    self->most = most;
    self->generation = generation;
    self->level = level;
    self->ident = PyThread_get_thread_ident();
    memcpy(self->codes, codes, TYPES);
    self->looks = looks != Py_None ? PyCapsule_GetPointer(looks, LOOKS) : NULL;
    if (PyErr_Occurred()) Py_CLEAR(self);
    return (PyObject *)self;
}

static int clerk_traverse(Clerk *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    for (int i = 0; i < HELD; i++) Py_VISIT(self->held[i]);
    PyObject *others[] = {self->made.attributes, self->ran.attributes, self->gradients.attributes, self->sink, self->observer};
    for (int i = 0; i < 5; i++) Py_VISIT(others[i]);
    return table_visit(&self->stencils.known, visit, arg);
}

static int clerk_clear(Clerk *self) {
    table_clear(&self->stencils.known);
    table_clear(&self->facts);
    Py_CLEAR(self->made.attributes);
    Py_CLEAR(self->ran.attributes);
    Py_CLEAR(self->gradients.attributes);
    Py_CLEAR(self->sink);
    Py_CLEAR(self->observer);
    Py_CLEAR(self->words);
    Py_CLEAR(self->run);
    Py_CLEAR(self->run_site);
    for (int i = 0; i < HELD; i++) Py_CLEAR(self->held[i]);
    return 0;
}

static void clerk_freed(PyObject *self) {
    free(((Clerk *)self)->stencils.lines.text);
    freed(self);
}

static PyMethodDef CLERK_METHODS[] = {
    {"seen", (PyCFunction)(void (*)(void))clerk_seen, METH_FASTCALL | METH_KEYWORDS,
     "seen(op_type, inputs, attrs, outputs, op_name=None, graph=None): TensorFlow's op callback."},
    {"gradient", (PyCFunction)(void (*)(void))clerk_gradient, METH_FASTCALL,
     "gradient(op_name, attrs, count, inputs, outputs, out_grads, skip, scope) -> the gradients of one op's inputs."},
    {"add", (PyCFunction)(void (*)(void))clerk_add, METH_FASTCALL, "add(lines, count) -> how many lines wait."},
    {"take", (PyCFunction)clerk_take, METH_NOARGS, "take() -> (how many lines, the lines) since it was last called."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot CLERK_SLOTS[] = {{Py_tp_new, clerk_new},           {Py_tp_dealloc, clerk_freed},
                                    {Py_tp_traverse, clerk_traverse}, {Py_tp_clear, clerk_clear},
                                    {Py_tp_methods, CLERK_METHODS},   {0, NULL}};
PyType_Spec CLERK_TYPE = {"graphdebug.backends.tensorflow._record.Clerk", sizeof(Clerk), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, CLERK_SLOTS};
