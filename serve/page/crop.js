/** Cuts a word out of a picture and sets it upright. */

const MARGIN = 0.05; // heights around a word, as the service itself cuts them
const MOST_HEIGHT = 128; // pixels: models see 32 to 64

/** Return a canvas with the parallelogram of a quad's first, second and last corner. */
export function cropWord(image, [topLeft, topRight, , bottomLeft]) {
  const [width, right] = lengthAndDirection(topLeft, topRight);
  const [height, down] = lengthAndDirection(topLeft, bottomLeft);
  const scale = Math.min(1, MOST_HEIGHT / height);
  const margin = MARGIN * height;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(scale * (width + 2 * margin)));
  canvas.height = Math.max(1, Math.round(scale * (height + 2 * margin)));
  const corner = [0, 1].map((axis) => topLeft[axis] - margin * (right[axis] + down[axis]));
  const toImage = new DOMMatrix([...right, ...down, ...corner]).scale(1 / scale);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.setTransform(toImage.inverse());
  context.drawImage(image, 0, 0);
  return canvas;
}

/** Return the canvas as a PNG. */
export function encode(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function lengthAndDirection([x0, y0], [x1, y1]) {
  const length = Math.max(1, Math.hypot(x1 - x0, y1 - y0));
  return [length, [(x1 - x0) / length, (y1 - y0) / length]];
}
