// The folders of src that are mutated, each with its tests that run in one process and need no database.
import { readdirSync } from "node:fs"

export const FOLDERS = ["base", "http", "server", "launch", "token", "client", "session", "smart", "udap"]

/** Tests with other processes, databases or real time, and a slow model of random sessions. */
const LEFT_OUT =
  /^(processes|openssl|pkits|OutgoingRequest\.transports|Sessions\.(killed|model|outages|processes))\.test\.ts$/

/** Tests of other folders that cover what the tests of the folder do not. */
const MORE = {
  smart: [
    "test/launch/AuthorizationPost.test.ts",
    "test/launch/LaunchRequest.test.ts",
    "test/node/openServers.test.ts",
    "test/token/IdToken.test.ts"
  ]
}

export const testsOf = (folder) => {
  if (!FOLDERS.includes(folder)) throw new Error(`unknown folder ${folder}; known: ${FOLDERS.join(", ")}`)
  const own = readdirSync(`test/${folder}`)
    .filter((file) => file.endsWith(".test.ts") && !LEFT_OUT.test(file))
    .map((file) => `test/${folder}/${file}`)
  return [...own, ...(MORE[folder] ?? [])]
}

/** Two runs at the same time need two directories. */
export const REPORTS = process.env.MUTATION_REPORTS ?? "reports/mutation"

export const resultOf = (folder) => `${REPORTS}/${folder}.json`
