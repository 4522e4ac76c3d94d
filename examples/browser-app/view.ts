/** The view of the page. All content is set as text, and changes are announced to screen readers. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as App from "./app.js"

const element = (id: string): HTMLElement => {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`index.html has no #${id}`)
  return found
}

const setText = (id: string, text: string): void => {
  element(id).textContent = text
}

export type Section = "signed-out" | "signed-in" | "forwarded"
const SECTIONS: ReadonlyArray<Section> = ["signed-out", "signed-in", "forwarded"]

/** Shows one section, and moves the focus to its heading if the section has changed. */
const show = (section: Section): void => {
  const isNew = element(section).hidden
  for (const one of SECTIONS) element(one).hidden = one !== section
  const heading = element(section).querySelector("h1")
  if (isNew && heading !== null) {
    heading.tabIndex = -1
    heading.focus({ preventScroll: true })
  }
}

const say = (id: "status" | "problem", text: string | undefined): void => {
  element(id).hidden = text === undefined
  setText(id, text ?? "")
}

const setBusy = (isBusy: boolean): void => {
  for (const button of document.querySelectorAll<HTMLButtonElement>("button:not(#cancel)")) button.disabled = isBusy
  element("main").setAttribute("aria-busy", String(isBusy))
}

/** Shows what is in progress, and disables the buttons. */
export const busy = (doing: string) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      setBusy(true)
      say("problem", undefined)
      say("status", doing)
    }),
    () => self,
    () =>
      Effect.sync(() => {
        setBusy(false)
        say("status", undefined)
      })
  )

/** Waits for a click on "Cancel". */
export const cancelled: Effect.Effect<void> = Effect.acquireUseRelease(
  Effect.sync(() => {
    element("waiting").hidden = false
  }),
  () =>
    Effect.async<void>((resume) => {
      const onClick = () => resume(Effect.void)
      element("cancel").addEventListener("click", onClick)
      return Effect.sync(() => element("cancel").removeEventListener("click", onClick))
    }),
  () =>
    Effect.sync(() => {
      element("waiting").hidden = true
    })
)

export const signedOut = Effect.sync(() => show("signed-out"))

export const forwarded = Effect.sync(() => show("forwarded"))

export const problem = (text: string): Effect.Effect<void> => Effect.sync(() => say("problem", text))

/** A date of birth is a day, not a moment: no time zone may move it. */
const dayOf = (date: string | undefined): string => date === undefined ? "date of birth not known" : `born ${date}`

const time = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" })

export const chart = (
  { conditions, patient, tokens }: Effect.Effect.Success<ReturnType<typeof App.chart>>
): Effect.Effect<void> =>
  Effect.sync(() => {
    const [{ family, given }] = patient.name
    setText("patient-name", [...given, family].join(" "))
    setText("patient-birth", dayOf(patient.birthDate))
    setText("patient-gender", patient.gender ?? "gender not known")
    const items = (conditions.length === 0 ? ["None on record"] : conditions).map((text) => {
      const item = document.createElement("li")
      item.textContent = text
      return item
    })
    element("conditions").replaceChildren(...items)
    setText("server", tokens.fhirBaseUrl ?? "")
    setText("scopes", tokens.scopes.join(" "))
    setText(
      "expires",
      tokens.expiresAt === undefined ? "it is refused" : time.format(DateTime.toDateUtc(tokens.expiresAt))
    )
    show("signed-in")
  })

export const setRenewals = (count: number): Effect.Effect<void> => Effect.sync(() => setText("renewals", String(count)))

/** Handles clicks at once: the browser allows a popup only for a short time after the click. */
export const onClick = (id: string, handle: () => void): void => element(id).addEventListener("click", handle)

export const onChoice = (name: string, current: string, handle: (value: string) => void): void => {
  for (const input of document.querySelectorAll<HTMLInputElement>(`input[name=${name}]`)) {
    input.checked = input.value === current
    input.addEventListener("change", () => handle(input.value))
  }
}
