// Draws the sequences of a step: filler with needles, lines of a synthetic language, or bytes of a corpus.
// Every byte is a function of the seed, the step, the sequence and its place, so that a resumed run draws
// what an uninterrupted one would have drawn. All arithmetic is on u32: stream_twin.ts does the same.
//
// An invocation writes 64 places of one sequence: a line of the language is made from its beginning.
// A byte at place i is the token at i and the target at i - 1; the last place, N, is a target alone.
//
// Appended by draw_stream.ts: the struct StepState. No workgroup memory.

struct Params {
  seedHash: u32,      // pcg(seed)
  sequences: u32,     // of the whole step
  context: u32,       // N
  lines: u32,         // of 64 places in a sequence, with the last target
  starts: u32,        // places of the corpus where a sequence may begin; 0: no corpus
  digitShare: u32,    // of 65,536 sequences: one digit, planted again and again
  keyedShare: u32,    // of 65,536 sequences: digits under keys
  leastPower: u32,    // log2 of the fewest plantings
  powers: u32,        // powers of two up to the most plantings
}

@group(0) @binding(0) var<storage, read> corpus: array<u32>;          // four bytes a word
@group(0) @binding(1) var<storage, read> state: StepState;
@group(0) @binding(2) var<storage, read_write> tokens: array<u32>;    // [sequences, N]
@group(0) @binding(3) var<storage, read_write> targets: array<u32>;   // [sequences, N]
@group(0) @binding(4) var<uniform> params: Params;

fn pcg(x: u32) -> u32 {
  let s = x * 747796405u + 2891336453u;
  let w = ((s >> ((s >> 28u) + 4u)) ^ s) * 277803737u;
  return (w >> 22u) ^ w;
}

// One of the numbers that belong to `key`.
fn pick(key: u32, number: u32) -> u32 { return pcg(pcg(key) + number); }

// A number from 2^least to 2^(least + powers) - 1 whose logarithm is about uniform.
fn logUniform(key: u32, least: u32, powers: u32) -> u32 {
  let power = least + pick(key, 0u) % powers;
  return (1u << power) + (pick(key, 1u) & ((1u << power) - 1u));
}

fn alphanumeric(i: u32) -> u32 {
  if (i < 10u) { return 48u + i; }
  return letter(i - 10u);
}

fn letter(i: u32) -> u32 { return select(97u + i - 26u, 65u + i, i < 26u); }

// Steps through 52 letters that reach all of them.
const STRIDES = array<u32, 8>(1u, 5u, 7u, 9u, 11u, 15u, 17u, 19u);

// Filler with `=d`, or with `K:d` for several keys K.
fn needleByte(draw: u32, i: u32, keyed: bool) -> u32 {
  let count = logUniform(pick(draw, 2u), params.leastPower, params.powers);
  let slot = params.context / count;
  let j = i / slot;
  let length = select(2u, 3u, keyed);
  let place = i - j * slot - pick(pick(draw, 3u), j) % (slot - length + 1u);
  if (j >= count || place >= length) {
    return alphanumeric(pcg(pick(draw, 4u) + i) % 62u);
  }
  if (!keyed) { return select(48u + pick(draw, 5u) % 10u, 61u, place == 0u); }
  let keys = logUniform(pick(draw, 6u), 1u, 4u);
  let key = pick(pick(draw, 7u), j) % keys;
  if (place == 0u) {
    let first = pick(draw, 8u);
    return letter((first % 52u + key * STRIDES[first >> 29u]) % 52u);
  }
  return select(48u + pick(pick(draw, 9u), key) % 10u, 58u, place == 1u);
}

// Word t of a line: what it is spelt by, and its length; names begin with a capital.
struct Word { key: u32, length: u32, capital: bool, next: u32 }

const NAMES = 16u;
const COMMON = 255u;

fn commonWord(id: u32) -> Word {
  let key = pick(1729u, id);
  return Word(key, 2u + key % 6u, false, COMMON);
}

// `next`: the word that must come next, since a name came before it; else COMMON.
fn nextWord(draw: u32, line: u32, t: u32, next: u32) -> Word {
  if (next < COMMON) { return commonWord(next); }
  let u = pick(line, t);
  if ((u & 3u) > 0u) { return commonWord(logUniform(u, 0u, 8u) - 1u); }
  let name = (u >> 2u) % NAMES;
  let key = pick(pick(draw, 10u), name);
  return Word(key, 4u + key % 4u, true, pick(key, 20u) % COMMON);
}

const CONSONANTS = array<u32, 16>(98u, 99u, 100u, 102u, 103u, 104u, 107u, 108u, 109u, 110u, 112u, 114u, 115u, 116u, 118u, 119u);
const VOWELS = array<u32, 5>(97u, 101u, 105u, 111u, 117u);

fn spell(word: Word, at: u32) -> u32 {
  let u = pick(word.key, at);
  if (((word.key >> 16u) + at) % 2u == 1u) { return VOWELS[u % 5u] - select(0u, 32u, word.capital && at == 0u); }
  return CONSONANTS[u % 16u] - select(0u, 32u, word.capital && at == 0u);
}

// What a line is made by: one in four repeats an earlier line of its sequence.
fn lineKey(draw: u32, line: u32) -> u32 {
  let lines = pick(draw, 11u);
  let u = pick(lines, line);
  if (line == 0u || (u & 3u) > 0u) { return pcg(u); }
  let back = logUniform(u, 0u, firstLeadingBit(line) + 1u);
  return pcg(pick(lines, line - min(back, line)));
}

fn store(sequence: u32, i: u32, byte: u32) {
  let first = sequence * params.context;
  if (i < params.context) { tokens[first + i] = byte; }
  if (i > 0u && i <= params.context) { targets[first + i - 1u] = byte; }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let sequence = id.x / params.lines;
  let line = id.x % params.lines;
  if (sequence >= params.sequences) { return; }
  let draw = pcg(pcg(params.seedHash + state.attempts) + sequence);
  let kind = pick(draw, 0u) & 65535u;
  if (kind < params.digitShare + params.keyedShare) {
    for (var p = 0u; p < 64u; p++) {
      let i = line * 64u + p;
      store(sequence, i, needleByte(draw, i, kind >= params.digitShare));
    }
    return;
  }
  if (params.starts > 0u) {
    let start = pick(draw, 1u) % params.starts;
    for (var p = 0u; p < 64u; p++) {
      let i = line * 64u + p;
      let at = start + min(i, params.context);
      store(sequence, i, (corpus[at / 4u] >> (at % 4u * 8u)) & 255u);
    }
    return;
  }
  let key = lineKey(draw, line);
  var t = 0u;
  var word = nextWord(draw, key, t, COMMON);
  var at = 0u;
  for (var p = 0u; p < 63u; p++) {
    if (at < word.length) {
      store(sequence, line * 64u + p, spell(word, at));
      at++;
    } else {
      store(sequence, line * 64u + p, 32u);
      t++;
      word = nextWord(draw, key, t, word.next);
      at = 0u;
    }
  }
  store(sequence, line * 64u + 63u, 10u);
}
