/* The parts of recording that run at every op: reading a tensor's kind, writing the line; and the module.
 * (Opening and closing an op's record: _record_clerk.c; the stack: ../_walker.c.)
 *
 * Plain C against Python's stable ABI, not linked against torch. Each part has a counterpart in Python that gives the
 * same result and takes over wherever this one meets something unusual: Walker.read (stack.py) then returns None,
 * Clerk.dispatch (eager.py) asks the recorder, Kinds.of (facts.py) asks Python, Stencils.fill (lines.py) stops at that record.
 */
#include "_record.h"

FOR_WORDS(DEFINE)

/* ---- Kinds: plain tensors in the host's memory, told apart by shape, element type and strides. ---- */

#define AXES 12

/* DLPack's table of functions (version 1, a stable ABI), through which torch describes a tensor in one call. */
typedef struct {
    uint32_t major, minor;
    void *older, *allocate, *export, *import;
    int (*describe)(void *tensor, Described *described);
    void *stream;
} Exchange;

typedef struct {
    PyObject_HEAD
    Table kinds;
    PyObject *ask;               /* makes the kind of any tensor */
    PyObject *tensor, *parameter; /* the two plain types */
    int (*describe)(void *tensor, Described *described);
    int refused;                 /* how many tensors are not asked about by `describe`, which refused: that takes long */
} Kinds;

/* Add the numbers in a tuple that `name` gives, as an attribute or (`call`) a method. Returns their number or -1. */
static Py_ssize_t add_numbers(PyObject *tensor, PyObject *name, int call, uint64_t *words) {
    PyObject *numbers = call ? PyObject_CallMethodObjArgs(tensor, name, NULL) : PyObject_GetAttr(tensor, name);
    Py_ssize_t length = numbers && PyTuple_Check(numbers) ? PyTuple_Size(numbers) : AXES + 1;
    for (Py_ssize_t i = 0; i < length && length <= AXES; i++) {
        PyObject *number = PyTuple_GetItem(numbers, i);
        if (PyLong_CheckExact(number)) words[i] = (uint64_t)PyLong_AsLongLong(number);
        else length = AXES + 1; /* a symbolic size */
    }
    Py_XDECREF(numbers);
    return length <= AXES ? length : -1;
}

/* The words that tell a tensor's kind: type, element type, layout, sizes, and strides where it is not contiguous.
 * Returns their number, 0 where Python is to be asked. */
static Py_ssize_t words_of(PyObject *tensor, uint64_t *words) {
    PyObject *dense = NULL, *dtype = NULL, *layout = NULL, *host = PyObject_GetAttr(tensor, IS_CPU);
    Py_ssize_t count = 0, axes = -1, strides = 0;
    if (host == Py_True) dense = PyObject_CallMethodObjArgs(tensor, IS_CONTIGUOUS, NULL);
    if (dense) dtype = PyObject_GetAttr(tensor, DTYPE);
    if (dtype) layout = PyObject_GetAttr(tensor, LAYOUT);
    if (layout) axes = add_numbers(tensor, SHAPE, 0, words + 3);
    if (axes >= 0 && dense != Py_True) strides = add_numbers(tensor, STRIDE, 1, words + 3 + axes);
    if (axes >= 0 && strides >= 0) {
        words[0] = (uint64_t)(uintptr_t)Py_TYPE(tensor);
        words[1] = (uint64_t)(uintptr_t)dtype; /* never freed */
        words[2] = (uint64_t)(uintptr_t)layout ^ (dense == Py_True); /* never freed either, at an even address */
        count = 3 + axes + strides;
    }
    if (!count) forgotten();
    Py_XDECREF(host);
    Py_XDECREF(dense);
    Py_XDECREF(dtype);
    Py_XDECREF(layout);
    return count;
}

static int is_dense(const Described *it) {
    int64_t expected = 1;
    for (int axis = it->axes - 1; axis >= 0; axis--) {
        if (it->sizes[axis] == 1) continue;
        if (it->strides[axis] != expected) return 0;
        expected *= it->sizes[axis];
    }
    return 1;
}

/* The kernel's number for an element type; -1 where it reads none such. */
static int kernel_type(const Described *it) {
    static const uint16_t types[] = {0x220, 0x240, 0x410, 0x210, 0x040, 0x020, 0x010, 0x008, 0x108, 0x608,
                                     0x110, 0x120, 0x140}; /* float32 .. uint8, bool, uint16 .. uint64 */
    int type = it->code << 8 | it->bits;
    for (int i = 0; i < 13; i++)
        if (types[i] == type) return i;
    return -1;
}

/* The same words by DLPack's description, and what is to be known to look at the elements. */
static Py_ssize_t described_words(Kinds *self, PyObject *tensor, uint64_t *words, Seen *seen) {
    PyObject *type = (PyObject *)Py_TYPE(tensor);
    Described it;
    if (!self->describe || (type != self->tensor && type != self->parameter)) return 0;
    if (self->refused) return self->refused--, 0;
    if (self->describe(tensor, &it) < 0) { /* no memory of its own: sparse, meta, nested, of torch.func */
        self->refused = 32;
        return forgotten() ? 0 : -1;
    }
    if (it.device != 1 || it.lanes != 1 || it.axes > AXES || (it.axes && !it.strides)) return 0;
    int dense = 1;
    int64_t count = 1;
    for (int axis = 0; axis < it.axes; axis++) {
        words[3 + axis] = (uint64_t)it.sizes[axis];
        count *= it.sizes[axis];
    }
    if (count) dense = is_dense(&it);
    for (int axis = 0; axis < it.axes && !dense; axis++) words[3 + it.axes + axis] = (uint64_t)it.strides[axis];
    words[0] = (uint64_t)(uintptr_t)type;
    words[1] = (uint64_t)it.code << 8 | it.bits;
    words[2] = (uint64_t)dense; /* no address, as the other words have here */
    *seen = (Seen){it.data, count, it.axes, dense && it.data ? kernel_type(&it) : -1};
    return 3 + (dense ? 1 : 2) * it.axes;
}

static PyObject *kind_seen(Kinds *self, PyObject *tensor, Seen *seen) {
    uint64_t words[3 + 2 * AXES];
    seen->type = -1;
    Py_ssize_t count = described_words(self, tensor, words, seen);
    if (!count) count = words_of(tensor, words);
    if (count <= 0) return PyErr_Occurred() ? NULL : PyObject_CallFunctionObjArgs(self->ask, tensor, NULL);
    Entry *entry = table_find(&self->kinds, hash_of(words, count), words, count);
    if (entry && entry->hash) {
        Py_INCREF(entry->value);
        return entry->value;
    }
    PyObject *kind = PyObject_CallFunctionObjArgs(self->ask, tensor, NULL);
    if (!kind) return NULL;
    PyObject *type = (PyObject *)Py_TYPE(tensor);
    Py_INCREF(kind);
    Py_INCREF(type);
    if (table_put(&self->kinds, words, count, kind, type) < 0) Py_CLEAR(kind);
    return kind;
}

static PyObject *kinds_of(Kinds *self, PyObject *tensor) {
    Seen seen;
    return kind_seen(self, tensor, &seen);
}

PyObject *kind_in(PyObject *kinds, PyObject *tensor, Seen *seen) { return kind_seen((Kinds *)kinds, tensor, seen); }

/* Kinds(ask, Tensor, Parameter, exchange): the last is torch's capsule of DLPack's functions, or None. */
static PyObject *kinds_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *ask, *tensor, *parameter, *capsule;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OOOO", &ask, &tensor, &parameter, &capsule)) return NULL;
    Kinds *self = (Kinds *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self) return NULL;
    Py_INCREF(ask);
    Py_INCREF(tensor);
    Py_INCREF(parameter);
    self->ask = ask;
    self->tensor = tensor;
    self->parameter = parameter;
    self->kinds.most = 20000;
    const Exchange *exchange = PyCapsule_IsValid(capsule, "dlpack_exchange_api")
                                   ? PyCapsule_GetPointer(capsule, "dlpack_exchange_api") : NULL;
    if (exchange && exchange->major == 1) self->describe = exchange->describe;
    return (PyObject *)self;
}

static int kinds_traverse(Kinds *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->ask);
    Py_VISIT(self->tensor);
    Py_VISIT(self->parameter);
    return table_visit(&self->kinds, visit, arg);
}

static int kinds_clear(Kinds *self) {
    table_clear(&self->kinds);
    Py_CLEAR(self->ask);
    Py_CLEAR(self->tensor);
    Py_CLEAR(self->parameter);
    return 0;
}

static PyMethodDef KINDS_METHODS[] = {{"of", (PyCFunction)kinds_of, METH_O, "of(tensor) -> the kind of any tensor."},
                                      {NULL, NULL, 0, NULL}};
static PyType_Slot KINDS_SLOTS[] = {{Py_tp_new, kinds_new},           {Py_tp_dealloc, freed},
                                    {Py_tp_traverse, kinds_traverse}, {Py_tp_clear, kinds_clear},
                                    {Py_tp_methods, KINDS_METHODS},   {0, NULL}};
static PyType_Spec KINDS = {"graphdebug.backends.torch._record.Kinds", sizeof(Kinds), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, KINDS_SLOTS};

/* ---- Way: from a module to a parameter or buffer of it, keeping neither alive. ---- */

typedef struct {
    PyObject_HEAD
    PyObject *module;    /* a weak reference */
    PyObject *table, *key;
    PyObject *parameter; /* the type of parameters; what is of another may be wrapped by torch.func */
    PyObject *in_memory; /* gives what is wrapped */
} Way;

static PyTypeObject *way_type;

static PyObject *way_find(Way *self) {
    PyObject *module = PyWeakref_GetObject(self->module);
    if (!module) return NULL;
    if (module == Py_None) Py_RETURN_NONE;
    Py_INCREF(module);
    PyObject *table = PyObject_GetAttr(module, self->table), *found = NULL;
    Py_DECREF(module);
    if (!table) return NULL;
    found = PyDict_Check(table) ? PyDict_GetItemWithError(table, self->key) : NULL;
    Py_XINCREF(found);
    Py_DECREF(table);
    if (!found && PyErr_Occurred()) return NULL;
    if (!found) Py_RETURN_NONE;
    if (found == Py_None || (PyObject *)Py_TYPE(found) == self->parameter) return found;
    PyObject *inner = PyObject_CallFunctionObjArgs(self->in_memory, found, NULL);
    Py_DECREF(found);
    return inner;
}

static PyObject *way_call(PyObject *self, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    return way_find((Way *)self);
}

PyObject *find_way(PyObject *way) { return Py_TYPE(way) == way_type ? way_find((Way *)way) : PyObject_CallNoArgs(way); }

static PyObject *way_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *module, *table, *key, *parameter, *in_memory;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OUUOO", &module, &table, &key, &parameter, &in_memory)) return NULL;
    Way *self = (Way *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self) return NULL;
    self->module = PyWeakref_NewRef(module, NULL);
    PyObject *all[] = {table, key, parameter, in_memory};
    for (int i = 0; i < 4; i++) Py_INCREF(all[i]);
    self->table = table;
    self->key = key;
    self->parameter = parameter;
    self->in_memory = in_memory;
    if (!self->module) Py_CLEAR(self);
    return (PyObject *)self;
}

static int way_traverse(Way *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->module);
    Py_VISIT(self->parameter);
    Py_VISIT(self->in_memory);
    return 0;
}

static int way_clear(Way *self) {
    Py_CLEAR(self->module);
    Py_CLEAR(self->table);
    Py_CLEAR(self->key);
    Py_CLEAR(self->parameter);
    Py_CLEAR(self->in_memory);
    return 0;
}

static PyType_Slot WAY_SLOTS[] = {{Py_tp_new, way_new},           {Py_tp_dealloc, freed},  {Py_tp_call, way_call},
                                  {Py_tp_traverse, way_traverse}, {Py_tp_clear, way_clear}, {0, NULL}};
static PyType_Spec WAY = {"graphdebug.backends.torch._record.Way", sizeof(Way), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                          WAY_SLOTS};

/* ---- Stencils: lines of nodes with holes for what differs between executions of one op at one place. ---- */

enum { UNASKED, FINITE, STATS_TAKEN };                 /* what looking gave, as far as a stencil has words for it */
#define TENSORS 1024 /* an optimizer's op over all parameters takes several lists of them */
#define WORDS (6 + 3 * TENSORS)
#define WAYS 8 /* stencils of one op at one place that differ in plain arguments */

typedef struct {
    PyObject_HEAD
    Table known;       /* key -> [stencil, ...] */
    PyObject *stats;   /* the type of statistics */
    PyObject *encode;  /* statistics to bytes */
    Text lines;        /* filled and not yet taken */
    int busy;          /* filling: what it calls may run Python, and that may come back here, also in another thread */
} Stencils;

/* A stencil is a tuple of these. */
enum { S_STATICS, S_NAME, S_MODULE, S_PAIR, S_TEXT, S_GRADIENT, S_SHOWN };

static int is_zero(PyObject *stats, PyObject *name) {
    PyObject *value = PyObject_GetAttr(stats, name);
    int zero = value && PyLong_AsLong(value) == 0;
    Py_XDECREF(value);
    return zero;
}

/* What looking gave; -1 where a stencil has no words for it: not finite, a reason, values. */
static int look_of(Stencils *self, PyObject *look) {
    if (look == Py_None) return UNASKED;
    if (look == Py_True) return FINITE;
    if ((PyObject *)Py_TYPE(look) != self->stats) return -1;
    return is_zero(look, NAN_COUNT) && is_zero(look, POS_INF) && is_zero(look, NEG_INF) ? STATS_TAKEN : -1;
}

static uint64_t word(PyObject *object) { return (uint64_t)(uintptr_t)object; }

/* Whether the statistics of an operand are written: of whole numbers that an op calculates with. */
static int is_shown(PyObject *trace, int counts) {
    PyObject *look = counts ? PyTuple_GetItem(trace, T_LOOK) : NULL, *whole = NULL;
    if (look && look != Py_None && look != Py_True) whole = PyObject_GetAttr(PyTuple_GetItem(trace, T_KIND), WHOLE);
    Py_XDECREF(whole);
    return whole == Py_True;
}

static int counts_in(PyObject *raw) {
    PyObject *traits = PyObject_GetAttr(PyTuple_GetItem(raw, OP), TRAITS);
    int counts = traits && PyLong_AsLong(traits) & COUNTS;
    Py_XDECREF(traits);
    return counts;
}

static int add_traces(Stencils *self, PyObject *traces, int outputs, int counts, uint64_t *words, int count) {
    Py_ssize_t length = PySequence_Size(traces);
    if (length < 0 || count + 3 * length > WORDS) return -1;
    int listed = PyList_CheckExact(traces);
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *trace = listed ? PyList_GetItem(traces, i) : PyTuple_GetItem(traces, i);
        if (!trace) return -1;
        PyObject *output = PyTuple_GetItem(trace, T_OUTPUT);
        int look = look_of(self, PyTuple_GetItem(trace, T_LOOK));
        if (look < 0 || !output) return -1;
        words[count++] = word(PyTuple_GetItem(trace, T_KIND));
        words[count++] = outputs ? 0 : word(PyTuple_GetItem(trace, T_NAMED));
        if (!outputs && look == STATS_TAKEN && !is_shown(trace, counts)) look = FINITE; /* only that is said of it */
        words[count++] = (uint64_t)look | (uint64_t)outputs << 3 | (uint64_t)(PyTuple_GetItem(trace, T_SEQ) == Py_None) << 4 |
                         (outputs ? 0 : (uint64_t)PyLong_AsLong(output) << 8);
    }
    return count;
}

/* The key of a record; 0 where it is not one that stencils are made of. `step` is that of the builder's tables. */
static int key_of(Stencils *self, PyObject *raw, PyObject *forwards, uint64_t *words) {
    PyObject *phase = PyTuple_GetItem(raw, PHASE), *forward = PyTuple_GetItem(raw, FORWARD_SEQ), *known = NULL;
    if (PyTuple_GetItem(raw, EXECUTION) != EXECUTED || PyTuple_GetItem(raw, MODE) != EAGER) return 0;
    if (phase == BACKWARD) known = forward == Py_None ? NULL : PyDict_GetItemWithError(forwards, forward);
    else if ((phase != FORWARD && phase != OPTIMIZER) || forward != Py_None) return 0;
    words[0] = word(PyTuple_GetItem(raw, OP));
    words[1] = word(PyTuple_GetItem(raw, PLACE));
    words[2] = word(phase);
    words[3] = word(known);
    words[4] = (uint64_t)(PyTuple_GetItem(raw, ALIAS) == Py_None) | (uint64_t)(forward == Py_None) << 1;
    words[5] = (uint64_t)PyObject_Hash(PyTuple_GetItem(raw, MODULE_PATH));
    int counts = counts_in(raw), count = add_traces(self, PyTuple_GetItem(raw, TRACES), 0, counts, words, 6);
    if (count > 0) count = add_traces(self, PyTuple_GetItem(raw, OUTPUTS), 1, counts, words, count);
    return count < 0 ? 0 : count;
}

/* Whether a plain argument is as in the stencil: of the same type (1, 1.0 and True are equal, but not one text) and equal,
 * but where numbers change the stencil has only their type. */
static int alike(PyObject *one, PyObject *other) {
    PyObject *type = (PyObject *)Py_TYPE(other);
    if (one == (PyObject *)&PyFloat_Type || one == (PyObject *)&PyLong_Type || one == (PyObject *)&PyList_Type) return type == one;
    return (PyObject *)Py_TYPE(one) == type ? equal(one, other) : 0;
}

static int alike_named(PyObject *one, PyObject *other) {
    PyObject *name, *value;
    if (PyDict_Size(one) != PyDict_Size(other)) return 0;
    for (Py_ssize_t at = 0; PyDict_Next(one, &at, &name, &value);) {
        PyObject *theirs = PyDict_GetItemWithError(other, name);
        int same = theirs ? alike(value, theirs) : PyErr_Occurred() ? -1 : 0;
        if (same <= 0) return same;
    }
    return 1;
}

static int all_alike(PyObject *one, PyObject *other) {
    Py_ssize_t length = PyList_Size(one);
    if (length < 0 || PyList_Size(other) != length) return PyErr_Occurred() ? -1 : 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *mine = PyList_GetItem(one, i), *theirs = PyList_GetItem(other, i);
        int named = i == length - 1 && PyDict_CheckExact(mine) && PyDict_CheckExact(theirs);
        int same = named ? alike_named(mine, theirs) : alike(mine, theirs);
        if (same <= 0) return same;
    }
    return 1;
}

/* The stencil for a record (borrowed), or NULL. */
static PyObject *stencil_of(Stencils *self, PyObject *raw, const uint64_t *words, int count) {
    PyObject *known = table_get(&self->known, words, count);
    Py_ssize_t ways = known ? PyList_Size(known) : 0;
    for (Py_ssize_t i = 0; i < ways; i++) {
        PyObject *one = PyList_GetItem(known, i);
        int same = all_alike(PyTuple_GetItem(one, S_STATICS), PyTuple_GetItem(raw, STATICS));
        if (same > 0) same = equal(PyTuple_GetItem(one, S_NAME), PyTuple_GetItem(raw, NAME));
        if (same > 0) same = equal(PyTuple_GetItem(one, S_MODULE), PyTuple_GetItem(raw, MODULE_PATH));
        if (same > 0) return one;
        if (same < 0 && !forgotten()) return NULL; /* things that can't be compared differ */
    }
    return NULL;
}

/* Write statistics; returns -1 at an error. */
static int write_look(Stencils *self, Pen *pen, PyObject *look) {
    PyObject *text = PyObject_CallFunctionObjArgs(self->encode, look, NULL);
    int bad = !text || piece(&self->lines, pen) < 0 || append_bytes(&self->lines, text) < 0;
    Py_XDECREF(text);
    return bad ? -1 : 0;
}

static int write_inputs(Stencils *self, Pen *pen, PyObject *raw) {
    PyObject *traces = PyTuple_GetItem(raw, TRACES);
    Py_ssize_t length = PyList_Size(traces);
    int counts = counts_in(raw);
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *trace = PyList_GetItem(traces, i), *seq = PyTuple_GetItem(trace, T_SEQ);
        if (is_shown(trace, counts) && write_look(self, pen, PyTuple_GetItem(trace, T_LOOK)) < 0) return -1;
        if (seq != Py_None && number_after(&self->lines, pen, seq) < 0) return -1;
    }
    return length < 0 ? -1 : 0;
}

static int write_outputs(Stencils *self, Pen *pen, PyObject *outputs, PyObject *alias) {
    Text *to = &self->lines;
    Py_ssize_t length = PySequence_Size(outputs);
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *trace = PySequence_GetItem(outputs, i), *look = trace ? PyTuple_GetItem(trace, T_LOOK) : NULL;
        int bad = !look || (alias != Py_None && number_after(to, pen, alias) < 0);
        if (!bad && look != Py_None && look != Py_True) bad = write_look(self, pen, look) < 0;
        Py_XDECREF(trace);
        if (bad) return -1;
    }
    return length < 0 ? -1 : 0;
}

/* The numbers among the arguments that change and are shown: the stencil has their places, or the names they were given by. */
static int write_shown(Stencils *self, Pen *pen, PyObject *shown, PyObject *statics) {
    Text *to = &self->lines;
    Py_ssize_t length = PyTuple_Size(shown);
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *slot = PyTuple_GetItem(shown, i), *value, *text;
        if (PyLong_CheckExact(slot)) value = PyList_GetItem(statics, PyLong_AsSsize_t(slot));
        else value = PyDict_GetItemWithError(PyList_GetItem(statics, PyList_Size(statics) - 1), slot);
        if (!value || piece(to, pen) < 0) return -1;
        if (PyLong_CheckExact(value)) {
            if (append_int(to, value) < 0) return -1;
            continue;
        }
        if (!isfinite(PyFloat_AsDouble(value))) return -1; /* a word: for Python */
        text = PyObject_CallFunctionObjArgs(self->encode, value, NULL);
        int bad = !text || append_bytes(to, text) < 0;
        Py_XDECREF(text);
        if (bad) return -1;
    }
    return length < 0 ? -1 : 0;
}

static int write_line(Stencils *self, PyObject *raw, PyObject *stencil, double zero) {
    Text *to = &self->lines;
    Pen pen;
    if (pen_on(&pen, PyTuple_GetItem(stencil, S_TEXT)) < 0) return -1;
    double began = PyFloat_AsDouble(PyTuple_GetItem(raw, BEGAN)), ended = PyFloat_AsDouble(PyTuple_GetItem(raw, ENDED));
    PyObject *forward = PyTuple_GetItem(raw, FORWARD_SEQ);
    if ((!to->length || append(to, "\n", 1) == 0) && number_after(to, &pen, PyTuple_GetItem(raw, SEQ)) == 0 &&
        number_after(to, &pen, PyTuple_GetItem(raw, STEP)) == 0 &&
        write_inputs(self, &pen, raw) == 0 &&
        write_outputs(self, &pen, PyTuple_GetItem(raw, OUTPUTS), PyTuple_GetItem(raw, ALIAS)) == 0 &&
        (forward == Py_None || number_after(to, &pen, forward) == 0) &&
        write_shown(self, &pen, PyTuple_GetItem(stencil, S_SHOWN), PyTuple_GetItem(raw, STATICS)) == 0 && piece(to, &pen) == 0 &&
        append_seconds(to, began - zero) == 0 && piece(to, &pen) == 0 && append_seconds(to, ended - began) == 0 &&
        number_after(to, &pen, PyTuple_GetItem(raw, THREAD)) == 0 && piece(to, &pen) == 0)
        return 0;
    return -1;
}

/* What the builder remembers of a node: see NodeBuilder. */
typedef struct {
    PyObject *forwards, *sources, *users, *finished, *step;
} Memory;

static int remember_sources(Memory *memory, PyObject *seq, PyObject *traces) {
    Py_ssize_t length = PyList_Size(traces);
    PyObject *sources = length < 0 ? NULL : PyTuple_New(length);
    for (Py_ssize_t i = 0; sources && i < length; i++) {
        PyObject *trace = PyList_GetItem(traces, i), *made = PyTuple_GetItem(trace, T_SEQ);
        PyObject *named = PyTuple_GetItem(trace, T_NAMED);
        Py_INCREF(made);
        PyTuple_SetItem(sources, i, made);
        if (named == Py_None || memory->users == Py_None || !equal(PyTuple_GetItem(named, 0), PARAMETER)) continue;
        PyObject *name = PyTuple_GetItem(named, 1);
        if (!PyDict_GetItemWithError(memory->users, name) && PyDict_SetItem(memory->users, name, seq) < 0)
            Py_CLEAR(sources);
    }
    int bad = !sources || PyDict_SetItem(memory->sources, seq, sources) < 0;
    Py_XDECREF(sources);
    return bad ? -1 : 0;
}

static int remember(Memory *memory, PyObject *raw, PyObject *stencil) {
    PyObject *pair = PyTuple_GetItem(stencil, S_PAIR), *seq = PyTuple_GetItem(raw, SEQ);
    PyObject *phase = PyTuple_GetItem(raw, PHASE);
    if (phase == FORWARD && remember_sources(memory, seq, PyTuple_GetItem(raw, TRACES)) < 0) return -1;
    if (pair == Py_None) return 0;
    if (phase == BACKWARD &&
        PyDict_SetItem(memory->finished, PyTuple_GetItem(raw, FORWARD_SEQ), PyTuple_GetItem(raw, NAME)) < 0)
        return -1;
    return PyDict_SetItem(memory->forwards, seq, pair);
}

/* The forward node of a gradient that a record left (borrowed); NULL where its line has to be built in Python. */
static PyObject *forward_of_leaf(Memory *memory, PyObject *leaf, PyObject *stencil) {
    if (PyTuple_GetItem(stencil, S_GRADIENT) == Py_None || memory->users == Py_None) return NULL;
    PyObject *node = PyDict_GetItemWithError(memory->users, PyTuple_GetItem(leaf, 0));
    if (!node && !PyErr_Occurred()) node = PyTuple_GetItem(leaf, 2);
    return node == Py_None ? NULL : node;
}

/* The line of that gradient; `alias` of a record is what its gradient comes from, if it is a view. */
static int write_gradient(Stencils *self, PyObject *raw, PyObject *stencil, PyObject *node) {
    Text *to = &self->lines;
    Pen pen;
    if (pen_on(&pen, PyTuple_GetItem(stencil, S_GRADIENT)) < 0) return -1;
    PyObject *leaf = PyTuple_GetItem(raw, LEAF), *alias = PyTuple_GetItem(raw, ALIAS);
    PyObject *trace = PySequence_GetItem(PyTuple_GetItem(raw, OUTPUTS), 0), *look = trace ? PyTuple_GetItem(trace, T_LOOK) : NULL;
    PyObject *name = look ? PyObject_CallFunctionObjArgs(self->encode, PyTuple_GetItem(leaf, 0), NULL) : NULL, *stats = NULL;
    int bad = !name || append(to, "\n", 1) < 0 || number_after(to, &pen, PyTuple_GetItem(leaf, 1)) < 0 ||
              number_after(to, &pen, PyTuple_GetItem(raw, STEP)) < 0;
    if (!bad && look != Py_None && look != Py_True) {
        stats = PyObject_CallFunctionObjArgs(self->encode, look, NULL);
        bad = !stats || piece(to, &pen) < 0 || append_bytes(to, stats) < 0;
    }
    bad = bad || piece(to, &pen) < 0 || append_bytes(to, name) < 0 || number_after(to, &pen, node) < 0 ||
          number_after(to, &pen, alias != Py_None ? alias : PyTuple_GetItem(trace, T_SEQ)) < 0 || piece(to, &pen) < 0;
    Py_XDECREF(stats);
    Py_XDECREF(name);
    Py_XDECREF(trace);
    return bad ? -1 : 0;
}

/* fill(raws, start, zero, forwards, sources, users, finished, step) -> how many raws are done. It stops before one that it
 * has no stencil for. */
static PyObject *stencils_fill(Stencils *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 8) return raise_type("fill takes 8 arguments"), NULL;
    PyObject *raws = args[0];
    Py_ssize_t at = PyLong_AsSsize_t(args[1]), count = PyList_Size(raws);
    double zero = PyFloat_AsDouble(args[2]);
    Memory memory = {args[3], args[4], args[5], args[6], args[7]};
    uint64_t words[WORDS];
    if (PyErr_Occurred()) return NULL;
    if (self->busy) return PyLong_FromSsize_t(at);
    self->busy = 1;
    for (; at < count; at++) {
        PyObject *raw = PyList_GetItem(raws, at);
        if (PyTuple_Size(raw) != FIELDS) break;
        if (PyTuple_GetItem(raw, PHASE) == FORWARD && !equal(PyTuple_GetItem(raw, STEP), memory.step)) break;
        int length = key_of(self, raw, memory.forwards, words);
        PyObject *stencil = length ? stencil_of(self, raw, words, length) : NULL;
        if (!stencil) break;
        PyObject *leaf = PyTuple_GetItem(raw, LEAF), *node = NULL;
        int leaves = leaf != Py_None && PySequence_Size(PyTuple_GetItem(raw, OUTPUTS)) > 0;
        if (leaves && !(node = forward_of_leaf(&memory, leaf, stencil))) break;
        Py_INCREF(stencil);
        Py_XINCREF(node);
        size_t before = self->lines.length;
        int bad = write_line(self, raw, stencil, zero) < 0 || (leaves && write_gradient(self, raw, stencil, node) < 0) ||
                  remember(&memory, raw, stencil) < 0;
        Py_DECREF(stencil);
        Py_XDECREF(node);
        if (bad) {
            self->lines.length = before;
            break;
        }
    }
    self->busy = 0;
    return forgotten() ? PyLong_FromSsize_t(at) : NULL; /* a record of some other sort: for Python */
}

/* What the words of a key are the addresses of. */
static PyObject *held_by(PyObject *raw, PyObject *forwards) {
    PyObject *held = PyList_New(0), *lists[2] = {PyTuple_GetItem(raw, TRACES), PyTuple_GetItem(raw, OUTPUTS)};
    PyObject *known = PyDict_GetItemWithError(forwards, PyTuple_GetItem(raw, FORWARD_SEQ));
    int bad = !held || PyList_Append(held, PyTuple_GetItem(raw, OP)) < 0 ||
              PyList_Append(held, PyTuple_GetItem(raw, PLACE)) < 0 || (known && PyList_Append(held, known) < 0);
    for (int which = 0; which < 2 && !bad; which++) {
        Py_ssize_t length = PySequence_Size(lists[which]);
        for (Py_ssize_t i = 0; i < length && !bad; i++) {
            PyObject *trace = PySequence_GetItem(lists[which], i);
            bad = !trace || PyList_Append(held, PyTuple_GetItem(trace, T_KIND)) < 0 ||
                  PyList_Append(held, PyTuple_GetItem(trace, T_NAMED)) < 0;
            Py_XDECREF(trace);
        }
    }
    if (bad) Py_CLEAR(held);
    return held;
}

/* learn(raw, forwards, stencil): keep a stencil for records like this one. */
static PyObject *stencils_learn(Stencils *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 3) return raise_type("learn(raw, forwards, stencil)"), NULL;
    if (self->busy) Py_RETURN_FALSE;
    uint64_t words[WORDS];
    int count = key_of(self, args[0], args[1], words);
    if (!count) {
        PyErr_Clear();
        Py_RETURN_FALSE;
    }
    Entry *entry = table_find(&self->known, hash_of(words, count), words, count);
    if (entry && entry->hash) {
        if (PyList_Insert(entry->value, 0, args[2]) < 0) return NULL;
        if (PyList_Size(entry->value) > WAYS && PyList_SetSlice(entry->value, WAYS, WAYS + 1, NULL) < 0) return NULL;
        Py_RETURN_TRUE;
    }
    PyObject *ways = PyList_New(0), *held = held_by(args[0], args[1]);
    if (!ways || !held || PyList_Append(ways, args[2]) < 0) {
        Py_XDECREF(ways);
        Py_XDECREF(held);
        return NULL;
    }
    if (table_put(&self->known, words, count, ways, held) < 0) return NULL;
    Py_RETURN_TRUE;
}

/* take() -> the lines filled since it was last called. */
static PyObject *stencils_take(Stencils *self, PyObject *unused) {
    (void)unused;
    PyObject *lines = PyBytes_FromStringAndSize(self->lines.text, (Py_ssize_t)self->lines.length);
    self->lines.length = 0;
    return lines;
}

static PyObject *stencils_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *stats, *encode;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OO", &stats, &encode)) return NULL;
    Stencils *self = (Stencils *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self) return NULL;
    Py_INCREF(stats);
    Py_INCREF(encode);
    self->stats = stats;
    self->encode = encode;
    self->known.most = 16384;
    return (PyObject *)self;
}

static int stencils_traverse(Stencils *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->stats);
    Py_VISIT(self->encode);
    return table_visit(&self->known, visit, arg);
}

static int stencils_clear(Stencils *self) {
    table_clear(&self->known);
    Py_CLEAR(self->stats);
    Py_CLEAR(self->encode);
    return 0;
}

static void stencils_freed(PyObject *self) {
    free(((Stencils *)self)->lines.text);
    freed(self);
}

static PyMethodDef STENCILS_METHODS[] = {
    {"fill", (PyCFunction)(void (*)(void))stencils_fill, METH_FASTCALL, "Write lines of raws, and say how far it got."},
    {"learn", (PyCFunction)(void (*)(void))stencils_learn, METH_FASTCALL, "Keep a stencil for records like this one."},
    {"take", (PyCFunction)stencils_take, METH_NOARGS, "take() -> the lines written since it was last called."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot STENCILS_SLOTS[] = {{Py_tp_new, stencils_new},           {Py_tp_dealloc, stencils_freed},
                                       {Py_tp_traverse, stencils_traverse}, {Py_tp_clear, stencils_clear},
                                       {Py_tp_methods, STENCILS_METHODS},   {0, NULL}};
static PyType_Spec STENCILS = {"graphdebug.backends.torch._record.Stencils", sizeof(Stencils), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, STENCILS_SLOTS};

/* ---- The module. ---- */

/* prune(made) -> the keys of tensors that are known otherwise than by a weak reference; those that are gone are forgotten. */
static PyObject *prune(PyObject *module, PyObject *made) {
    PyObject *gone = PyList_New(0), *others = PyList_New(0), *key, *trace;
    (void)module;
    int bad = !gone || !others;
    for (Py_ssize_t at = 0; !bad && PyDict_Next(made, &at, &key, &trace);) {
        PyObject *way = PyTuple_GetItem(trace, T_WAY);
        if (!way) bad = 1;
        else if (Py_TYPE(way) != &_PyWeakref_RefType) bad = PyList_Append(others, key) < 0;
        else if (PyWeakref_GetObject(way) == Py_None) bad = PyList_Append(gone, key) < 0;
    }
    for (Py_ssize_t i = bad ? 0 : PyList_Size(gone); i > 0 && !bad; i--) bad = PyDict_DelItem(made, PyList_GetItem(gone, i - 1)) < 0;
    Py_XDECREF(gone);
    if (bad) Py_CLEAR(others);
    return others;
}

static PyMethodDef FUNCTIONS[] = {{"prune", prune, METH_O, "prune(made) -> keys of what is not known by a weak reference."},
                                  {NULL, NULL, 0, NULL}};

static struct PyModuleDef MODULE_DEF = {PyModuleDef_HEAD_INIT, "_record", NULL, -1, FUNCTIONS, NULL, NULL, NULL, NULL};

static int make_words(void) {
    FOR_WORDS(MAKE_WORD)
    return make_shared_words();
}

PyMODINIT_FUNC PyInit__record(void) {
    PyObject *module = make_words() < 0 ? NULL : PyModule_Create(&MODULE_DEF);
    if (!module || add_type(module, &WALKER_TYPE, "Walker") < 0 || add_type(module, &KINDS, "Kinds") < 0 ||
        add_type(module, &STENCILS, "Stencils") < 0 || add_type(module, &CLERK, "Clerk") < 0 || add_type(module, &WAY, "Way") < 0)
        Py_CLEAR(module);
    if (module && !(way_type = (PyTypeObject *)PyObject_GetAttrString(module, "Way"))) Py_CLEAR(module);
    return module;
}
