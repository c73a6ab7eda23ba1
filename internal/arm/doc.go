// Package arm owns the core of the Resource Manager face: how a request finds its handler, what is checked before the
// handler runs, how errors and long-running operations are written.
//
// One request goes this way:
//
//	path ─► route ─► who is asking ─► api-version ─► subscription ─► may they? ─► resource group ─► handler
//	  404/405    401             400            404           403             404
//
// so that access is checked before existence. Work that outlives its request is a resource.Operation: written in the
// transaction that starts it, done by the Runner, polled by the client.
//
// The package never knows what a resource type means: that is said by the rooms below it, which register Routes.
package arm
