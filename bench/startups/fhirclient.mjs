import FHIR from "fhirclient"

const values = new Map()
const storage = {
  get: async (key) => values.get(key),
  set: async (key, value) => void values.set(key, value),
  unset: async (key) => values.delete(key)
}
const request = { headers: { host: "app.example.org" }, url: "/launch", socket: {} }
// It cannot be configured with endpoints and would fetch them: this is the work before that request.
await FHIR(request, {}, storage).authorize({
  fhirServiceUrl: "https://ehr.example.org/fhir",
  clientId: "growth-chart",
  scope: "launch/patient patient/*.rs",
  redirectUri: "https://app.example.org/callback",
  noRedirect: true
})
