import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { scheduler } from "../src/dom.js";

// Frames come when the test says so.
function framed() {
  const frames = [];
  globalThis.requestAnimationFrame = (draw) => frames.push(draw);
  let drawn = 0;
  const schedule = scheduler(() => (drawn += 1));
  const frame = () => {
    for (const draw of frames.splice(0)) draw();
    return drawn;
  };
  return { schedule, frame };
}

test("many calls before a frame draw once, and a call after it draws again", () => {
  const { schedule, frame } = framed();
  for (let i = 0; i < 5; i += 1) schedule();
  assert.equal(frame(), 1);
  assert.equal(frame(), 1);
  schedule();
  assert.equal(frame(), 2);
});

test("a call for later waits, and a call for now goes first", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const { schedule, frame } = framed();
    schedule(600);
    schedule(600);
    assert.equal(frame(), 0);
    mock.timers.tick(600);
    assert.equal(frame(), 1);
    schedule(600);
    schedule();
    assert.equal(frame(), 2);
    mock.timers.tick(600);
    assert.equal(frame(), 2);
  } finally {
    mock.timers.reset();
  }
});
