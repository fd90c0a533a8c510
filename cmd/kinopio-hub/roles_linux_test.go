package main

import "github.com/kinopio-hub/kinopio-hub/v3/election/lab"

// systemRoles are roles that only Linux can play.
var systemRoles = map[string]lab.Role{"refused": playRefused, "silent": playSilent, "crowd": playCrowd}
