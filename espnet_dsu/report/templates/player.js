"use strict";
// One clip sounds at a time; its place shows in its picture, where a click seeks.
const players = [...document.querySelectorAll("audio")];
const queue = [];

function follow(audio, head) {
  const share = audio.duration ? audio.currentTime / audio.duration : 0;
  head.style.left = `${100 * share}%`;
  head.hidden = share === 0;
  if (!audio.paused) requestAnimationFrame(() => follow(audio, head));
}

for (const audio of players) {
  const mel = audio.closest(".clip").querySelector(".mel");
  const head = mel.querySelector(".playhead");
  for (const event of ["seeked", "pause"]) audio.addEventListener(event, () => audio.paused && follow(audio, head));
  audio.addEventListener("play", () => {
    follow(audio, head);
    if (!queue.includes(audio)) queue.length = 0;
    players.filter((other) => other !== audio).forEach((other) => other.pause());
  });
  audio.addEventListener("ended", () => {
    if (queue.shift() === audio && queue.length) start(queue[0]);
  });
  audio.addEventListener("error", () => {
    const problem = document.createElement("p");
    problem.className = "problem";
    problem.textContent = "This browser cannot play the file; is the folder report beside report.html?";
    audio.replaceWith(problem);
  });
  mel.addEventListener("click", (event) => {
    const box = mel.getBoundingClientRect();
    audio.currentTime = audio.duration * (event.clientX - box.left) / box.width;
    audio.play();
  });
}

function start(audio) {
  audio.currentTime = 0;
  audio.play();
}

for (const row of document.querySelectorAll(".utterance")) {
  const clips = [...row.querySelectorAll("audio")];
  if (clips.length < 2) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "turns";
  button.textContent = "Play in turn";
  button.setAttribute("aria-describedby", row.getAttribute("aria-labelledby"));
  button.addEventListener("click", () => {
    queue.splice(0, queue.length, ...clips);
    start(clips[0]);
  });
  row.querySelector(".heading").append(button);
}
