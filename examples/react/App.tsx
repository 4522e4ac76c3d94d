import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Sessions } from "effect-safire"
import { useMemo, useState } from "react"
import * as Smart from "../browser-app/app.js"
import { opened, runtime, signIn, signOut } from "./smart.js"
import { useResult } from "./useResult.js"

const Failure = ({ cause }: { readonly cause: Cause.Cause<{ readonly message: string }> }) => (
  <p role="alert">
    {Cause.squash(cause) instanceof Error ? (Cause.squash(cause) as Error).message : "The app failed."}
  </p>
)

const Chart = ({ onSignOut, session }: { readonly onSignOut: () => void; readonly session: Sessions.SessionId }) => {
  const chart = useResult(useMemo(() => Smart.chart(session), [session]))
  if (chart === undefined) return <p>Loading …</p>
  if (Exit.isFailure(chart)) return <Failure cause={chart.cause} />
  const { conditions, patient } = chart.value
  const [{ family, given }] = patient.name
  return (
    <>
      <h1>{[...given, family].join(" ")}</h1>
      <ul>{conditions.map((text, index) => <li key={index}>{text}</li>)}</ul>
      <button onClick={() => runtime.runFork(Effect.ensuring(signOut, Effect.sync(onSignOut)))}>Sign out</button>
    </>
  )
}

export const App = () => {
  const result = useResult(opened)
  const [isSignedOut, setSignedOut] = useState(false)
  if (result === undefined) return <p>Loading …</p>
  if (Exit.isFailure(result)) return <Failure cause={result.cause} />
  if (result.value._tag === "SignedIn" && !isSignedOut) {
    return <Chart onSignOut={() => setSignedOut(true)} session={result.value.session} />
  }
  return <button onClick={() => runtime.runFork(signIn)}>Sign in</button>
}
