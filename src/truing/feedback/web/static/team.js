// An invitation: a link for a new person, to be sent to them.
import { find, element } from "./dom.js";
import { post } from "./api.js";

find("invite").addEventListener("click", async () => {
  try {
    const { link, role } = await post("/api/invitations", { role: find("role").value });
    find("link").replaceChildren(`For one ${role}, for 14 days: `, element("code", {}, link));
  } catch (error) {
    find("link").textContent = error.message;
  }
});
