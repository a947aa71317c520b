{{/* Names, addresses and sizes of the edge. */}}

{{- define "sluice.edge.fullname" -}}
{{ include "sluice.fullname" . }}-edge
{{- end -}}

{{/* Name of the Secret with the edge's key, which the operator creates. */}}
{{- define "sluice.edge.keySecret" -}}
{{ include "sluice.edge.fullname" . }}
{{- end -}}

{{/* Type of the edge's Service. Behind an Ingress or an HTTPRoute it needs no address of its own. */}}
{{- define "sluice.edge.type" -}}
{{- $edge := .Values.edge -}}
{{- if $edge.service.type -}}
{{- $edge.service.type -}}
{{- else if or $edge.ingress.enabled $edge.httpRoute.enabled -}}
ClusterIP
{{- else -}}
{{- .Values.gateway.service.type -}}
{{- end -}}
{{- end -}}

{{/* Begin of the URLs for viewers; empty: http://HOST:PORT. */}}
{{- define "sluice.edge.publicUrl" -}}
{{- $edge := .Values.edge -}}
{{- if $edge.publicUrl -}}
{{- trimSuffix "/" $edge.publicUrl -}}
{{- else if $edge.ingress.enabled -}}
{{- printf "%s://%s" (ternary "https" "http" $edge.ingress.tls.enabled) $edge.ingress.host -}}
{{- else if $edge.httpRoute.enabled -}}
{{- fail "edge.publicUrl is empty: with edge.httpRoute.enabled, give the begin of the URLs for viewers, such as https://live.example.org" -}}
{{- end -}}
{{- end -}}

{{/* Host that viewers dial; empty: the operator reads the address of the load balancer. */}}
{{- define "sluice.edge.publicHost" -}}
{{- $type := include "sluice.edge.type" . -}}
{{- if .Values.edge.publicHost -}}
{{- .Values.edge.publicHost -}}
{{- else if eq $type "ClusterIP" -}}
{{- printf "%s.%s.svc.%s" (include "sluice.edge.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- else if eq $type "NodePort" -}}
{{- if and (not .Values.gateway.publicHost) (not (include "sluice.edge.publicUrl" .)) -}}
{{- if eq .Values.gateway.service.type "NodePort" }}{{ include "sluice.gateway.publicHost" . }}{{ end -}}
{{- fail "edge.publicHost is empty: with edge.service.type=NodePort, give the host name or address at which viewers reach your nodes, or set edge.enabled=false" -}}
{{- end -}}
{{- .Values.gateway.publicHost -}}
{{- end -}}
{{- end -}}

{{/* Size of the cache in MiB. */}}
{{- define "sluice.edge.cacheMebibytes" -}}
{{- $size := .Values.edge.cache.size -}}
{{- if hasSuffix "Gi" $size -}}
{{- mul 1024 (trimSuffix "Gi" $size) -}}
{{- else -}}
{{- trimSuffix "Mi" $size -}}
{{- end -}}
{{- end -}}

{{/* Disk space of a pod in MiB. nginx deletes old files shortly after the cache is full, so there is
room for a quarter more, and for temporary files. */}}
{{- define "sluice.edge.diskMebibytes" -}}
{{- $cache := int (include "sluice.edge.cacheMebibytes" .) -}}
{{- add $cache (div $cache 4) 128 -}}
{{- end -}}

{{/* Resources of a pod. It requests its disk space, unless the values say otherwise. */}}
{{- define "sluice.edge.resources" -}}
{{- $disk := dict "requests" (dict "ephemeral-storage" (printf "%sMi" (include "sluice.edge.diskMebibytes" .))) -}}
{{- toYaml (merge (deepCopy .Values.edge.resources) $disk) -}}
{{- end -}}
