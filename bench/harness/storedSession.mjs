/** The session that all stores hold, and how many of them. */
export const COUNT = 1000

export const session = (index) => {
  const now = Date.now()
  return {
    version: 1,
    fhirBaseUrl: "https://ehr.example.org/fhir",
    accessToken: `access-token-${index}-0123456789abcdef0123456789abcdef`,
    refreshToken: `refresh-token-${index}-0123456789abcdef`,
    receivedAt: new Date(now).toISOString(),
    expiresAt: new Date(now + 3_600_000).toISOString(),
    scopes: ["launch/patient", "patient/*.rs", "offline_access"],
    context: { patient: `patient-${index}` },
    extensions: {}
  }
}
