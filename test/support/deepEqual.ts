/**
 * Deep comparisons of all tests are Node's. To chai, which compares what they iterate over, `Option.some(1)` and
 * `Option.none()` are equal, and so are errors with the same message.
 */
import { isDeepStrictEqual } from "node:util"
import { chai } from "vitest"

chai.config.deepEqual = isDeepStrictEqual
