// Vega's expressions as functions that are put together once, from the parts of the parsed text: the page's policy
// forbids to compile text, and Vega's own interpreter walks through the parts anew for each mark, ten times as slow.
// An expression that needs more than there is here is an error when its chart is drawn, never something that is run.
"use strict";

const CONSTANTS = { NaN, E: Math.E, PI: Math.PI, MIN_VALUE: Number.MIN_VALUE, MAX_VALUE: Number.MAX_VALUE };
const OF_EVENTS = new Set(["view", "item", "group", "xy", "x", "y"]);
const FUNCTIONS = {
  ...Object.fromEntries(Object.getOwnPropertyNames(Math).map((name) => [name, Math[name]])),
  isNaN: Number.isNaN,
  isFinite: Number.isFinite,
  parseFloat,
  clamp: (value, low, high) => Math.max(low, Math.min(high, value)),
  length: (value) => value.length,
  join: (value, sign) => value.join(sign),
  slice: (value, start, end) => value.slice(start, end),
  split: (text, sign) => String(text).split(sign),
  lower: (text) => String(text).toLowerCase(),
  upper: (text) => String(text).toUpperCase(),
  now: Date.now,
  time: (value) => new Date(value).getTime(),
};
// Of an object it gives what it holds, never what could be called.
const member = (of, name) => {
  const found = of[name];
  return typeof found === "function" ? undefined : found;
};
const BINARY = {
  "*": (a, b) => a * b,
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "/": (a, b) => a / b,
  "%": (a, b) => a % b,
  ">": (a, b) => a > b,
  "<": (a, b) => a < b,
  ">=": (a, b) => a >= b,
  "<=": (a, b) => a <= b,
  "==": (a, b) => a == b,
  "!=": (a, b) => a != b,
  "===": (a, b) => a === b,
  "!==": (a, b) => a !== b,
};
const UNARY = { "+": (a) => +a, "-": (a) => -a, "!": (a) => !a };

// Each part becomes a function of the signals, the datum, the event and the mark.
const PARTS = {
  Literal: ({ value }) => () => value,
  Identifier: ({ name }) => {
    if (name === "datum") return (_, datum) => datum;
    if (name === "event") return (_, __, event) => event;
    if (name === "item") return (_, __, ___, item) => item;
    if (Object.hasOwn(CONSTANTS, name)) return () => CONSTANTS[name];
    const signal = `$${name}`;
    return (signals) => signals[signal];
  },
  MemberExpression: ({ object, property, computed }, known) => {
    const of = put(object, known);
    if (!computed) return (...all) => member(of(...all), property.name);
    if (property.type === "Literal") return (s, d, e, i) => member(of(s, d, e, i), property.value);
    const name = put(property, known);
    return (s, d, e, i) => member(of(s, d, e, i), name(s, d, e, i));
  },
  CallExpression: ({ callee, arguments: given }, known) => {
    const name = callee.name.replace(/^_/, "");
    const [one, two, three, ...more] = given.map((each) => put(each, known));
    if (name === "if") return (s, d, e, i) => (one(s, d, e, i) ? two(s, d, e, i) : three(s, d, e, i));
    if (OF_EVENTS.has(name)) return (s, d, e, i) => e.vega[name](...given.map((_, at) => [one, two][at](s, d, e, i)));
    const call = known[name] ?? (Object.hasOwn(FUNCTIONS, name) && FUNCTIONS[name]);
    if (!call) throw new Error(`There is no function ${name} for charts`);
    if (given.length === 1) return (s, d, e, i) => call.call(known, one(s, d, e, i));
    if (given.length === 2) return (s, d, e, i) => call.call(known, one(s, d, e, i), two(s, d, e, i));
    const all = given.length ? [one, two, three, ...more].slice(0, given.length) : [];
    return (s, d, e, i) => call.apply(known, all.map((each) => each(s, d, e, i)));
  },
  ArrayExpression: ({ elements }, known) => {
    const all = elements.map((one) => put(one, known));
    return (s, d, e, i) => all.map((one) => one(s, d, e, i));
  },
  ObjectExpression: ({ properties }, known) => {
    const all = properties.map(({ key, value }) => [key.name ?? key.value, put(value, known)]);
    return (s, d, e, i) => Object.fromEntries(all.map(([name, one]) => [name, one(s, d, e, i)]));
  },
  BinaryExpression: ({ operator, left, right }, known) => {
    const [both, a, b] = [BINARY[operator], put(left, known), put(right, known)];
    return (s, d, e, i) => both(a(s, d, e, i), b(s, d, e, i));
  },
  LogicalExpression: ({ operator, left, right }, known) => {
    const [a, b] = [put(left, known), put(right, known)];
    return operator === "&&"
      ? (s, d, e, i) => a(s, d, e, i) && b(s, d, e, i)
      : (s, d, e, i) => a(s, d, e, i) || b(s, d, e, i);
  },
  UnaryExpression: ({ operator, argument }, known) => {
    const [sign, of] = [UNARY[operator], put(argument, known)];
    return (s, d, e, i) => sign(of(s, d, e, i));
  },
  ConditionalExpression: ({ test, consequent, alternate }, known) => {
    const [is, yes, no] = [test, consequent, alternate].map((one) => put(one, known));
    return (s, d, e, i) => (is(s, d, e, i) ? yes(s, d, e, i) : no(s, d, e, i));
  },
};

function put(part, known) {
  return PARTS[part.type](part, known);
}

// The ends of a bar as a corner and its size, as Vega's renderers want them.
function sized(mark, given, ordered) {
  for (const [from, to, middle, size] of [["x", "x2", "xc", "width"], ["y", "y2", "yc", "height"]]) {
    if (given[to]) {
      if (given[from]) {
        if (ordered && mark[from] > mark[to]) [mark[from], mark[to]] = [mark[to], mark[from]];
        mark[size] = mark[to] - mark[from];
      } else mark[from] = mark[to] - (mark[size] || 0);
    }
    if (given[middle]) mark[from] = mark[middle] - (mark[size] || 0) / 2;
  }
}

// What Vega asks of an interpreter.
const EXPRESSIONS = {
  operator(context, { ast }) {
    return put(ast, context.functions);
  },
  parameter(context, { ast }) {
    const found = put(ast, context.functions);
    return (datum, signals) => found(signals, datum);
  },
  event(context, { ast }) {
    const found = put(ast, context.functions);
    return (event) => found(undefined, undefined, event);
  },
  handler(context, { ast }) {
    const found = put(ast, context.functions);
    return (signals, event) => found(signals, event.item?.datum, event);
  },
  encode(context, { marktype, channels }) {
    const all = Object.entries(channels).map(([name, { ast }]) => [name, put(ast, context.functions)]);
    const ordered = ["group", "image", "rect"].includes(marktype);
    return (mark, signals) => {
      let changed = 0;
      for (const [name, found] of all) {
        const value = found(signals, mark.datum, undefined, mark);
        if (mark[name] === value) continue;
        mark[name] = value;
        changed = 1;
      }
      if (marktype !== "rule") sized(mark, channels, ordered);
      return changed;
    };
  },
};
