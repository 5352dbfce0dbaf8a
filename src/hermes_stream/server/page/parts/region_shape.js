// The corners of a region, in shares of the picture's sides, and what may be done with them.

const LEAST = 3;
const MOST = 32;
/** @type {Point[]} what is there to begin with where no pointer draws */
const BEGINNING = [
  [0.25, 0.25],
  [0.75, 0.25],
  [0.75, 0.75],
  [0.25, 0.75],
];

export class RegionShape {
  /** @param {Point[]} points */
  constructor(points) {
    this.points = points.map(([x, y]) => RegionShape.inside(x, y));
  }

  /** Keep a corner within the picture, as exact as an eye can tell. @param {number} x @param {number} y @returns {Point} */
  static inside(x, y) {
    const share = (/** @type {number} */ one) => Math.round(Math.min(1, Math.max(0, one)) * 1000) / 1000;
    return [share(x), share(y)];
  }

  get hasRoom() {
    return this.points.length < MOST;
  }

  /** Whether it encloses something. */
  get isWhole() {
    return this.points.length >= LEAST && this.share > 0;
  }

  /** How much of the picture it encloses. */
  get share() {
    const twice = this.points.reduce((sum, [x, y], index) => {
      const [u, v] = /** @type {Point} */ (this.points[(index + 1) % this.points.length]);
      return sum + x * v - u * y;
    }, 0);
    return Math.abs(twice) / 2;
  }

  begin() {
    this.points = structuredClone(BEGINNING);
  }

  /**
   * Put a corner where the pointer is: at the end while there are few, then into the nearest edge, so that no edge crosses another.
   *
   * @param {Point} point
   * @returns {number | null} its number; null where there is no room
   */
  add(point) {
    if (!this.hasRoom) return null;
    if (this.points.length < LEAST) return this.points.push(point) - 1;
    const ends = this.points.map((from, index) => distance(point, from, /** @type {Point} */ (this.points[(index + 1) % this.points.length])));
    const after = ends.indexOf(Math.min(...ends));
    this.points.splice(after + 1, 0, point);
    return after + 1;
  }

  /** Put a corner between one and the next. @param {number} after @returns {number | null} */
  split(after) {
    const from = this.points[after];
    const to = this.points[(after + 1) % this.points.length];
    if (!this.hasRoom || !from || !to) return null;
    this.points.splice(after + 1, 0, RegionShape.inside((from[0] + to[0]) / 2, (from[1] + to[1]) / 2));
    return after + 1;
  }

  /** @param {number} index */
  remove(index) {
    this.points.splice(index, 1);
  }
}

/** How far a point is from an edge. @param {Point} point @param {Point} from @param {Point} to */
function distance([x, y], [fromX, fromY], [toX, toY]) {
  const [wide, high] = [toX - fromX, toY - fromY];
  const length = wide * wide + high * high;
  const along = length ? Math.min(1, Math.max(0, ((x - fromX) * wide + (y - fromY) * high) / length)) : 0;
  return Math.hypot(x - fromX - along * wide, y - fromY - along * high);
}
