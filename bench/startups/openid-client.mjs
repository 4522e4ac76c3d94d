import * as client from "openid-client"

const config = new client.Configuration(
  { issuer: "https://ehr.example.org", authorization_endpoint: "https://ehr.example.org/authorize" },
  "growth-chart"
)
client.buildAuthorizationUrl(config, {
  redirect_uri: "https://app.example.org/callback",
  scope: "launch/patient patient/*.rs",
  state: client.randomState(),
  code_challenge: await client.calculatePKCECodeChallenge(client.randomPKCECodeVerifier()),
  code_challenge_method: "S256"
})
